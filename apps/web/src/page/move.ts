/**
 * The next point in a direction: near, and not far to the side. Where there is none, the point itself.
 * @param positions [points, 2], the y axis downwards
 */
export function step(
  positions: ArrayLike<number>,
  from: number,
  [dx, dy]: readonly [number, number],
): number {
  const [x, y] = [positions[2 * from]!, positions[2 * from + 1]!];
  let best = from;
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; 2 * i < positions.length; i++) {
    const [ax, ay] = [positions[2 * i]! - x, positions[2 * i + 1]! - y];
    const along = ax * dx + ay * dy;
    const aside = Math.abs(ax * dy - ay * dx);
    if (i === from || along <= 0 || aside > 2 * along) continue;
    const cost = along + 2 * aside;
    if (cost < least) [best, least] = [i, cost];
  }
  return best;
}
