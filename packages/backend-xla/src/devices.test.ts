import { expect, it } from 'vitest';
import { chosenDevices, expectDevices } from './devices.ts';

it.each([
  [undefined, [0]],
  ['all', undefined],
  [3, [0, 1, 2]],
  ['3', [0, 1, 2]],
  ['1,0', [1, 0]],
  [[2], [2]],
  [
    [0, 3],
    [0, 3],
  ],
])('%s are the devices %s', (choice, numbers) => {
  expect(chosenDevices(choice)).toEqual(numbers);
});

it.each(['', '-1', '1.5', 'gpu', '0,', [], null])('"%s" are none', (choice) => {
  expect(() => chosenDevices(choice)).toThrow(
    `devices ${choice}: devices are "all", a number of them, or their own numbers, such as "0,1"`,
  );
});

it('are named once, and at least one', () => {
  expect(() => chosenDevices('0,1,0')).toThrow('devices 0,1,0: names a device twice');
  expect(() => chosenDevices(0)).toThrow('devices 0: is no device at all');
});

it.each([
  ['0,2', [0, 2], 2, 'devices 0,2: there are 2 devices, from number 0'],
  [2, [0, 1], 1, 'devices 2: there is one device, number 0'],
] as const)('%s are not there', (choice, numbers, available, message) => {
  expect(() => expectDevices(numbers, available, choice)).toThrow(message);
  expect(() => expectDevices(numbers, 3, choice)).not.toThrow();
});
