/**
 * A machine for Python's pickles, protocols 1 to 5, that can build plain values only. Names of classes and functions are
 * looked up in a table of this package (`globals.ts`); there is nothing else that it could call.
 */
import { asKey, Machine, type PickleHost } from './pickle-machine.ts';
import { PickleError, RefusedError } from './pickle-reader.ts';
import type { Value } from './values.ts';

export interface Unpickled {
  readonly value: Value;
  /** Where the pickle ends. */
  readonly end: number;
}

const code = (character: string) => character.charCodeAt(0);
/** Opcodes that make instances or call by themselves, and extension codes: nothing that torch.save writes. */
const refusedOpcodes: Readonly<Record<number, string>> = {
  [code('P')]: 'a persistent id as text',
  [code('i')]: 'INST',
  [code('o')]: 'OBJ',
  130: 'EXT1',
  131: 'EXT2',
  132: 'EXT4',
  146: 'NEWOBJ_EX',
  151: 'NEXT_BUFFER',
  152: 'READONLY_BUFFER',
};

/**
 * Reads one pickle.
 * @param start where it begins
 * @throws PickleError
 */
export function unpickle(bytes: Uint8Array, start: number, host: PickleHost): Unpickled {
  const machine = new Machine(bytes, start, host);
  const { reader } = machine;
  for (;;) {
    const opcode = reader.uint8();
    if (opcode === code('.')) return { value: machine.result(), end: reader.at };
    const step = steps[opcode];
    if (step === undefined) throw unknown(opcode, reader.at - 1);
    step(machine);
  }
}

function unknown(opcode: number, at: number): PickleError {
  const name = refusedOpcodes[opcode];
  return name === undefined
    ? new PickleError(`byte ${at} is no opcode of protocols 1 to 5`)
    : new RefusedError(name, at);
}

type Step = (machine: Machine) => void;
/** Python 2's texts, which were bytes. */
const oldText = (bytes: Uint8Array) => new TextDecoder('utf-8').decode(bytes);
const opcode = (m: Machine) => m.reader.at - 1;

/** By opcode, in the order of the manual (pickletools). */
const steps: Readonly<Record<number, Step>> = {
  [code('I')]: (m) => m.push(m.reader.integerLine()),
  [code('J')]: (m) => m.push(m.reader.int32()),
  [code('K')]: (m) => m.push(m.reader.uint8()),
  [code('M')]: (m) => m.push(m.reader.uint16()),
  [code('L')]: (m) => m.push(m.reader.integerLine()),
  138: (m) => m.push(m.reader.integer(m.reader.uint8())),
  139: (m) => m.push(m.reader.integer(m.reader.uint32())),
  [code('T')]: (m) => m.push(oldText(m.reader.bytes(m.reader.uint32()))),
  [code('U')]: (m) => m.push(oldText(m.reader.bytes(m.reader.uint8()))),
  [code('B')]: (m) => m.push(m.reader.bytes(m.reader.uint32())),
  [code('C')]: (m) => m.push(m.reader.bytes(m.reader.uint8())),
  142: (m) => m.push(m.reader.bytes(m.reader.uint64())),
  150: (m) => m.push(m.reader.bytes(m.reader.uint64())),
  [code('N')]: (m) => m.push(null),
  136: (m) => m.push(true),
  137: (m) => m.push(false),
  140: (m) => m.push(m.reader.text(m.reader.uint8())),
  [code('X')]: (m) => m.push(m.reader.text(m.reader.uint32())),
  141: (m) => m.push(m.reader.text(m.reader.uint64())),
  [code('G')]: (m) => m.push(m.reader.float64()),
  [code(']')]: (m) => m.push([]),
  [code('a')]: (m) => m.append([m.pop()]),
  [code('e')]: (m) => m.append(m.marked()),
  [code(')')]: (m) => m.tuple(0),
  [code('t')]: (m) => m.push({ kind: 'tuple', items: m.marked() }),
  133: (m) => m.tuple(1),
  134: (m) => m.tuple(2),
  135: (m) => m.tuple(3),
  [code('}')]: (m) => m.push(new Map()),
  [code('s')]: (m) => m.setItems([m.pop(), m.pop()].reverse()),
  [code('u')]: (m) => m.setItems(m.marked()),
  143: (m) => m.push(new Set()),
  144: (m) => m.addItems(m.marked()),
  145: (m) => m.push(new Set(m.marked().map(asKey))),
  [code('0')]: (m) => m.drop(),
  [code('2')]: (m) => m.push(m.top()),
  [code('(')]: (m) => m.mark(),
  [code('1')]: (m) => void m.marked(),
  [code('h')]: (m) => m.get(m.reader.uint8()),
  [code('j')]: (m) => m.get(m.reader.uint32()),
  [code('q')]: (m) => m.put(m.reader.uint8()),
  [code('r')]: (m) => m.put(m.reader.uint32()),
  148: (m) => m.memoize(),
  [code('c')]: (m) => {
    const at = opcode(m);
    m.global(m.reader.line(), m.reader.line(), at);
  },
  147: (m) => m.stackGlobal(opcode(m)),
  [code('R')]: (m) => m.reduce(opcode(m)),
  [code('b')]: (m) => m.build(opcode(m)),
  129: (m) => m.newObject(opcode(m)),
  128: (m) => {
    const protocol = m.reader.uint8();
    if (protocol > 5) throw new PickleError(`its protocol ${protocol} is unknown`);
  },
  // A frame's length helps streaming readers only.
  149: (m) => void m.reader.uint64(),
  [code('Q')]: (m) => m.persistent(),
};
