/** XLA's plugins as wheels, by hash. Written by scripts/xla-wheels.mjs. */
import type { Wheel } from './wheel.ts';

export const wheels: Readonly<Record<string, readonly Wheel[]>> = {
  cpu: [
    {
      package: 'lammps-jax-pjrt-cpu',
      file: 'lammps_jax_pjrt_cpu-0.11.2-py3-none-manylinux_2_27_x86_64.whl',
      sha256: '1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1',
      bytes: 62711338,
      licence: 'Apache-2.0',
    },
  ],
  'cpu-older': [
    {
      package: 'fastatomstruct-xla-cpu',
      file: 'fastatomstruct_xla_cpu-2026.6.23-py3-none-manylinux_2_27_x86_64.whl',
      sha256: '88b1c430b341b4bea40a37420311c9c75db6e22b46d2ff95b6986577bee6afe9',
      bytes: 63200622,
      licence: 'Apache-2.0',
    },
  ],
  cuda: [
    {
      package: 'jax-cuda13-pjrt',
      file: 'jax_cuda13_pjrt-0.11.2-py3-none-manylinux_2_27_x86_64.whl',
      sha256: 'e5ff589d43064913bb74027682d89639c7ea48f9f81c2bae6fc75117e913f93e',
      bytes: 134162640,
      licence: 'Apache-2.0',
    },
    {
      package: 'nvidia-cublas',
      file: 'nvidia_cublas-13.0.2.14-py3-none-manylinux_2_27_x86_64.whl',
      sha256: '0cf238ffdbe46c00cb9aa98e7bca745c223a5ca5a53e686ac8b3e5a08fe80d6c',
      bytes: 420882912,
      licence: "NVIDIA's terms",
    },
    {
      package: 'nvidia-cuda-cupti',
      file: 'nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl',
      sha256: '4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8',
      bytes: 10715597,
      licence: "NVIDIA's terms",
    },
    {
      package: 'nvidia-cuda-nvcc',
      file: 'nvidia_cuda_nvcc-13.0.88-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
      sha256: '56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03',
      bytes: 37384532,
      licence: "NVIDIA's terms",
    },
    {
      package: 'nvidia-cuda-nvrtc',
      file: 'nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl',
      sha256: 'ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575',
      bytes: 90215200,
      licence: "NVIDIA's terms",
    },
    {
      package: 'nvidia-cuda-runtime',
      file: 'nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
      sha256: '7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548',
      bytes: 2243632,
      licence: "NVIDIA's terms",
    },
    {
      package: 'nvidia-cudnn-cu13',
      file: 'nvidia_cudnn_cu13-9.14.0.64-py3-none-manylinux_2_27_x86_64.whl',
      sha256: '024ce8f7571d322991ecadbe82907df2e89b5f36597d03436413ec6dd7c9fe54',
      bytes: 350763257,
      licence: "NVIDIA's terms",
    },
    {
      package: 'nvidia-cufft',
      file: 'nvidia_cufft-12.0.0.61-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
      sha256: '6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3',
      bytes: 214085489,
      licence: "NVIDIA's terms",
    },
    {
      package: 'nvidia-cusolver',
      file: 'nvidia_cusolver-12.0.9.81-py3-none-manylinux_2_27_x86_64.whl',
      sha256: '5d28371e1301d1edfb15b8b1201e24cd680bc72de7f384cc162c7edbd8c5348c',
      bytes: 202032975,
      licence: "NVIDIA's terms",
    },
    {
      package: 'nvidia-cusparse',
      file: 'nvidia_cusparse-12.6.3.3-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
      sha256: '2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b',
      bytes: 145942937,
      licence: "NVIDIA's terms",
    },
    {
      package: 'nvidia-nccl-cu13',
      file: 'nvidia_nccl_cu13-2.28.9-py3-none-manylinux_2_18_x86_64.whl',
      sha256: 'e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42',
      bytes: 196493177,
      licence: "NVIDIA's terms",
    },
    {
      package: 'nvidia-nvjitlink',
      file: 'nvidia_nvjitlink-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl',
      sha256: '13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b',
      bytes: 40713933,
      licence: "NVIDIA's terms",
    },
    {
      package: 'nvidia-nvshmem-cu13',
      file: 'nvidia_nvshmem_cu13-3.4.5-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
      sha256: '290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80',
      bytes: 60412546,
      licence: "NVIDIA's terms",
    },
    {
      package: 'nvidia-nvvm',
      file: 'nvidia_nvvm-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl',
      sha256: 'c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0',
      bytes: 61601415,
      licence: "NVIDIA's terms",
    },
  ],
};
