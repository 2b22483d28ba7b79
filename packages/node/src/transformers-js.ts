/** A folder that transformers.js loads: its configuration beside the model. */
import { clearSide } from '@moco-ts/data';
import { traitsNamed } from '@moco-ts/encoders';
import type { RunConfig } from '@moco-ts/run';
import type { ExportSettings, PrecisionName } from './export-model.ts';

/** What transformers.js calls the tensors. */
export function tensorNames(classifier: boolean) {
  return { input: 'pixel_values', output: classifier ? 'logits' : 'image_embeds' };
}

/** Where it looks for a model: `dtype` fp32, fp16 or q8. */
export const modelFiles: Readonly<Record<PrecisionName, string>> = {
  fp32: 'onnx/model.onnx',
  fp16: 'onnx/model_fp16.onnx',
  int8: 'onnx/model_quantized.onnx',
};

/** `config.json` and `preprocessor_config.json`, by name. */
export function transformersConfigs(
  config: RunConfig,
  { classes }: Pick<ExportSettings, 'classes'>,
  dim: number,
): Record<string, object> {
  const { arch, imageSize, mean, std } = config;
  const vit = traitsNamed(arch).family === 'vit';
  const shorter = clearSide({ width: 1, height: 2 }, imageSize);
  return {
    'config.json': {
      // Whose classes take pixels and give one tensor; the network itself is in the ONNX file.
      model_type: vit ? 'vit' : 'resnet',
      architectures: [`${vit ? 'ViT' : 'ResNet'}${classes ? 'ForImageClassification' : 'Model'}`],
      hidden_size: dim,
      image_size: imageSize,
      ...(classes && {
        id2label: Object.fromEntries(classes.map((name, i) => [i, name])),
        label2id: Object.fromEntries(classes.map((name, i) => [name, i])),
      }),
    },
    'preprocessor_config.json': {
      image_processor_type: 'ViTImageProcessor',
      do_resize: true,
      size: { shortest_edge: shorter },
      // Bilinear.
      resample: 2,
      do_center_crop: true,
      crop_size: { height: imageSize, width: imageSize },
      do_rescale: true,
      rescale_factor: 1 / 255,
      do_normalize: true,
      image_mean: mean,
      image_std: std,
    },
  };
}
