/** Which devices of a machine compute, a replica on each. */
import { BackendError, say, settingRef } from '@moco-ts/core';

/** All devices, how many of them, or their numbers from 0: `all`, `4` or `0,1`. */
export type DeviceChoice = string | number | readonly number[];

/**
 * @param choice default the first device
 * @returns the devices' numbers, in the order of the replicas; undefined for all
 * @throws BackendError for what is no such choice
 */
export function chosenDevices(choice: unknown = 1): readonly number[] | undefined {
  if (choice === 'all') return undefined;
  const text = String(choice);
  const numbers = text.split(',').map(Number);
  if (!/^\d+(,\d+)*$/.test(text))
    throw refused(choice, 'devices are "all", a number of them, or their own numbers, such as "0,1"');
  if (new Set(numbers).size < numbers.length) throw refused(choice, 'names a device twice');
  if (numbers.length > 1 || Array.isArray(choice)) return numbers;
  if (numbers[0] === 0) throw refused(choice, 'is no device at all');
  return Array.from({ length: numbers[0]! }, (_, number) => number);
}

/** @throws BackendError for a number that no device has */
export function expectDevices(chosen: readonly number[], available: number, choice: unknown): void {
  const missing = chosen.find((number) => number >= available);
  if (missing === undefined) return;
  const there =
    available === 1 ? 'there is one device, number 0' : `there are ${available} devices, from number 0`;
  throw new BackendError(say`${settingRef('devices', choice)}: ${there}`, { code: 'backend-unavailable' });
}

const refused = (choice: unknown, why: string) =>
  new BackendError(say`${settingRef('devices', choice)}: ${why}`, { code: 'setting-invalid' });
