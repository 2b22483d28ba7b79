import { expect, it } from 'vitest';
import { api, structs } from './layout.ts';

// What compiled bindings of the C header report: sizeof up to the last field, offsetof.
it('structs are laid out as C lays them out', () => {
  expect(api.Error_GetCode).toMatchObject({ size: 28, offsets: { code: 24 } });
  expect(api.Client_Create).toMatchObject({ size: 88, offsets: { client: 64 } });
  expect(api.Client_BufferFromHostBuffer).toMatchObject({
    size: 120,
    offsets: { type: 32, dims: 40, host_buffer_semantics: 72, device: 80, done_with_host_buffer: 104 },
  });
  expect(api.Device_MemoryStats).toMatchObject({
    size: 201,
    offsets: { peak_bytes_in_use: 32, bytes_limit: 80 },
  });
  expect(api.LoadedExecutable_Execute).toMatchObject({ size: 80, offsets: { output_lists: 56 } });
  expect(structs.NamedValue).toMatchObject({ size: 56, offsets: { type: 32, value: 40 } });
  expect(structs.MemoryLayout).toMatchObject({ size: 76, offsets: { minor_to_major: 32, type: 72 } });
});
