/** Why there is no GPU: XLA writes the cause to stderr alone, and says that none is visible. So CUDA's driver is asked itself. */
import koffi from 'koffi';

const DRIVER = 'libcuda.so.1';

/** The driver's reason, or undefined where it finds a GPU. */
export function cudaFailure(driver = DRIVER): string | undefined {
  let library: ReturnType<typeof koffi.load>;
  try {
    library = koffi.load(driver);
  } catch {
    return `NVIDIA's driver is not installed (there is no ${driver})`;
  }
  const code = library.func('int cuInit(unsigned int flags)')(0) as number;
  if (code === 0) return undefined;
  const text = [''];
  const describe = library.func('int cuGetErrorString(int code, _Out_ const char **text)');
  const described = describe(code, text) === 0 ? text[0] : undefined;
  return `NVIDIA's driver says: ${described || 'unknown error'} (CUDA error ${code})`;
}
