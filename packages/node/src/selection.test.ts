import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkpointName } from '@moco-ts/run';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../cli/src/testing.ts';
import { readBest } from './best-file.ts';
import { removeOld } from './checkpoint.ts';
import { openSelection } from './selection.ts';

const at = (epoch: number) => ({ epoch, step: 0, globalStep: 10 * epoch });
const save = (folder: string, epoch: number) => writeFileSync(join(folder, checkpointName(at(epoch))), '');
const config = { select: 'retrieval' } as const;

/** A folder of a run that measured these after its epochs. */
async function measured(...values: number[]) {
  const folder = temporaryFolder();
  const selection = await openSelection(config, folder, at(0));
  for (const [i, editedCopies] of values.entries()) {
    save(folder, i + 1);
    await selection.add(at(i + 1), { editedCopies }, undefined);
  }
  return folder;
}

describe('the choice of a run', () => {
  it('stays with what was measured before where the run goes on', async () => {
    const folder = await measured(10, 30, 20);
    const { best } = await openSelection(config, folder, at(3));
    expect(best).toMatchObject({ best: { epoch: 2, value: 30 }, waited: 1 });
  });

  it('forgets what is behind a checkpoint from which the run goes on', async () => {
    const folder = await measured(10, 30, 40);
    const { best } = await openSelection(config, folder, at(2));
    expect(best).toMatchObject({ best: { epoch: 2 }, waited: 0 });
    expect((await readBest(folder))!.candidates).toHaveLength(2);
    expect((await openSelection(config, folder, at(0))).best).toBeUndefined();
    expect(await readBest(folder)).toBeUndefined();
  });

  it('is one that is there', async () => {
    const folder = await measured(10, 30, 20, 40);
    await removeOld(folder, checkpointName(at(4)), 2);
    // 4 is lost: the two before had been removed but for 3.
    const { best } = await openSelection(config, folder, at(3));
    expect(best).toMatchObject({ best: { epoch: 3, value: 20 } });
    const selection = await openSelection(config, folder, at(3));
    await selection.add(at(7), { editedCopies: 90 }, undefined);
    expect(selection.best).toMatchObject({ best: { epoch: 3 } });
  });

  it('is none that was set aside, for whoever asks', async () => {
    const folder = await measured(10, 20, 30);
    const path = join(folder, checkpointName(at(3)));
    renameSync(path, `${path}.diverged`);
    expect(await readBest(folder)).toMatchObject({ file: checkpointName(at(2)), best: { value: 20 } });
    for (const epoch of [1, 2]) rmSync(join(folder, checkpointName(at(epoch))));
    expect(await readBest(folder)).toBeUndefined();
  });

  it('counts one evaluation once, however often it is made', async () => {
    const folder = await measured(10, 5);
    const selection = await openSelection({ ...config, patience: 2 }, folder, at(2));
    await selection.add(at(2), { editedCopies: 5 }, undefined);
    expect(selection.over).toBe(false);
    save(folder, 3);
    await selection.add(at(3), { editedCopies: 10 }, undefined);
    // As good as the first, and no better.
    expect(selection.over).toBe(true);
    expect(selection.best).toMatchObject({ best: { epoch: 3 } });
  });

  it('is not that of another figure, nor of a damaged file', async () => {
    const folder = await measured(10, 30);
    const path = join(folder, 'best.json');
    const text = readFileSync(path, 'utf8');
    for (const damaged of [
      '',
      '[]',
      'null',
      '{"by":"none","candidates":[]}',
      text.replaceAll(':30', ':"30"'),
    ]) {
      writeFileSync(path, damaged);
      expect(await readBest(folder)).toBeUndefined();
    }
    writeFileSync(path, text);
    expect((await openSelection({ select: 'loss' }, folder, at(2))).best).toBeUndefined();
  });
});

it('the checkpoint that a run chose is never an old one', async () => {
  const folder = await measured(10, 30, 20, 25);
  await removeOld(folder, checkpointName(at(4)), 1);
  const { best } = await openSelection(config, folder, at(4));
  expect(best).toMatchObject({ file: checkpointName(at(2)) });
});
