// The programme's results as lines and as a table.

const ms = (seconds) => (seconds === undefined ? '' : (1000 * seconds).toFixed(1));
const mib = (bytes) => (bytes === undefined ? '' : (bytes / 2 ** 20).toFixed(0));

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

/** What a part found, in one line. */
export function lineOf(name, { kind, failed, result, seconds }) {
  const told = result === undefined ? '' : lines[kind]?.(result);
  return `${name}: ${[failed, told].filter(Boolean).join('; ') || 'done'} (${seconds} s)`;
}

const lines = {
  kit: ({ passed, failed, left, worst, tolerance }) =>
    `${passed} passed, ${failed} failed, ${left} left out${worst ? `; worst error ${(worst.error * tolerance).toExponential(1)} of the largest value, ${Math.round(100 * worst.error)} % of the tolerance, ${worst.name}` : ''}`,
  step: ({
    secondsPerStep,
    secondsPerHeldStep,
    secondsToCompile,
    secondsToFirstStep,
    peakBytes,
    batchSize,
    loss,
  }) => {
    const step = median(secondsPerHeldStep ?? secondsPerStep);
    return `${ms(step)} ms, ${(batchSize / step).toFixed(0)} img/s; images uploaded each step ${ms(median(secondsPerStep))} ms; compiled in ${secondsToCompile.toFixed(1)} s, first step after ${secondsToFirstStep.toFixed(1)} s${peakBytes === undefined ? '' : `, peak ${mib(peakBytes)} MiB`}; loss ${loss.toFixed(4)}`;
  },
  peer: ({ results }) =>
    Object.entries(results)
      .map(
        ([mode, found]) =>
          `${mode} ${found.error ? `failed: ${found.error.slice(0, 80)}` : `${found.ms.toFixed(1)} ms`}`,
      )
      .join(', '),
  run: ({ imagesPerSecond, waits, steps }) =>
    `${imagesPerSecond.toFixed(0)} img/s, ${(100 * waits).toFixed(0)} % of the time waits for images, ${steps.length} steps`,
  loader: ({ rates }) =>
    rates
      .map(({ set, workers, imagesPerSecond }) => `${set} x${workers} ${imagesPerSecond.toFixed(0)}`)
      .join(', '),
};

/** Steps of both sides, in milliseconds, and the kits. */
export function table({ parts }) {
  const rows = [['part', 'ms', 'uploaded', 'img/s', 'peak MiB', 'compile s', 'first s']];
  for (const [name, { kind, result }] of Object.entries(parts)) {
    if (kind === 'step' && result) rows.push(stepRow(name, result));
    if (kind === 'peer' && result)
      for (const [mode, found] of Object.entries(result.results))
        if (!found.error) rows.push(peerRow(`${name} ${mode}`, found));
  }
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const steps = rows.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  '),
  );
  const others = Object.entries(parts).filter(([, { kind }]) => !['step', 'peer', 'warm'].includes(kind));
  return [...steps, '', ...others.map(([name, part]) => lineOf(name, part))].join('\n');
}

function stepRow(
  name,
  { secondsPerStep, secondsPerHeldStep, secondsToCompile, secondsToFirstStep, peakBytes, batchSize },
) {
  const step = median(secondsPerHeldStep ?? secondsPerStep);
  const cells = [ms(step), ms(median(secondsPerStep)), (batchSize / step).toFixed(0), mib(peakBytes)];
  return [name, ...cells, secondsToCompile.toFixed(1), secondsToFirstStep.toFixed(1)];
}

function peerRow(name, { ms: step, hostMs, imgPerSecond, memory, firstStepMs }) {
  const cells = [step.toFixed(1), hostMs?.toFixed(1) ?? '', imgPerSecond.toFixed(0), mib(memory?.allocated)];
  return [name, ...cells, '', (firstStepMs / 1000).toFixed(1)];
}
