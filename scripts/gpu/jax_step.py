"""Times whole MoCo v2 steps of a ResNet in JAX, written in plain JAX: a yardstick for what XLA does with the same work.

    python3 jax_step.py --depths 3,4,6,3 --size 224 --batch 256 --queue 65536 --modes bf16,tf32 --out FILE.json

Both views through their encoders with plain batch norm, EMA, loss, backward, SGD with momentum and weight decay, enqueue, BN
running statistics. Images lie on the device; the state is donated; the loss is read each step. bf16: operands and feature maps
in bfloat16, weights, statistics and the loss in float32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Tree = dict[str, Any]
LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv_shapes(depths: list[int]) -> list[tuple[str, int, int, int, int]]:
    """Name, kernel, inputs, outputs and stride of each convolution of a ResNet of bottlenecks, in order of use."""
    convs = [("stem", 7, 3, 64, 2)]
    channels = 64
    for stage, depth in enumerate(depths):
        width = 64 << stage
        for block in range(depth):
            stride = 2 if block == 0 and stage > 0 else 1
            name = f"{stage}.{block}"
            convs += [(f"{name}.1", 1, channels, width, 1), (f"{name}.2", 3, width, width, stride)]
            convs.append((f"{name}.3", 1, width, 4 * width, 1))
            if block == 0:
                convs.append((f"{name}.s", 1, channels, 4 * width, stride))
            channels = 4 * width
    return convs


def init(depths: list[int], dim: int, key: jax.Array) -> tuple[Tree, Tree]:
    """Parameters and running statistics."""
    params: Tree = {}
    stats: Tree = {}
    for name, kernel, inputs, outputs, _ in conv_shapes(depths):
        key, own = jax.random.split(key)
        scale = (2 / (outputs * kernel * kernel)) ** 0.5
        params[name] = {
            "w": scale * jax.random.normal(own, (kernel, kernel, inputs, outputs)),
            "gamma": jnp.ones(outputs),
            "beta": jnp.zeros(outputs),
        }
        stats[name] = {"mean": jnp.zeros(outputs), "var": jnp.ones(outputs)}
    width = 256 << (len(depths) - 1)
    for name, outputs in (("fc1", width), ("fc2", dim)):
        key, own = jax.random.split(key)
        params[name] = {"w": width**-0.5 * jax.random.normal(own, (width, outputs)), "b": jnp.zeros(outputs)}
    return params, stats


def encode(params: Tree, stats: Tree, x: jax.Array, depths: list[int], dtype: Any) -> tuple[jax.Array, Tree]:
    """Unit vectors [N, dim], and the new running statistics."""
    after: Tree = {}
    strides = {name: stride for name, _, _, _, stride in conv_shapes(depths)}

    def conv_bn(name: str, x: jax.Array) -> jax.Array:
        own, stride = params[name], strides[name]
        pad = own["w"].shape[0] // 2
        y = lax.conv_general_dilated(
            x.astype(dtype), own["w"].astype(dtype), (stride, stride), [(pad, pad)] * 2, dimension_numbers=LAYOUT
        )
        wide = y.astype(jnp.float32)
        mean = wide.mean((0, 1, 2))
        var = jnp.square(wide - mean).mean((0, 1, 2))
        seen = {"mean": mean, "var": var}
        after[name] = {k: 0.9 * stats[name][k] + 0.1 * lax.stop_gradient(v) for k, v in seen.items()}
        return ((wide - mean) * (own["gamma"] * lax.rsqrt(var + 1e-5)) + own["beta"]).astype(dtype)

    x = jax.nn.relu(conv_bn("stem", x))
    x = lax.reduce_window(
        x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0))
    )
    for stage, depth in enumerate(depths):
        for block in range(depth):
            name = f"{stage}.{block}"
            y = jax.nn.relu(conv_bn(f"{name}.1", x))
            y = jax.nn.relu(conv_bn(f"{name}.2", y))
            y = conv_bn(f"{name}.3", y)
            x = jax.nn.relu(y + (conv_bn(f"{name}.s", x) if block == 0 else x))
    features = x.astype(jnp.float32).mean((1, 2))
    hidden = jax.nn.relu(features @ params["fc1"]["w"] + params["fc1"]["b"])
    z = hidden @ params["fc2"]["w"] + params["fc2"]["b"]
    return z / jnp.linalg.norm(z, axis=1, keepdims=True), after


@partial(jax.jit, static_argnames=("depths", "dtype"), donate_argnums=0)
def step(state: Tree, xq: jax.Array, xk: jax.Array, depths: tuple[int, ...], dtype: str) -> tuple[Tree, jax.Array]:
    kind = jnp.dtype(dtype)
    follow = jax.tree.map(lambda k, q: 0.999 * k + 0.001 * q, state["k"], state["q"])
    keys, k_stats = encode(follow, state["k_stats"], xk, list(depths), kind)
    keys = lax.stop_gradient(keys)

    def loss_of(q_params: Tree) -> tuple[jax.Array, Tree]:
        q, q_stats = encode(q_params, state["q_stats"], xq, list(depths), kind)
        logits = jnp.concatenate([(q * keys).sum(1, keepdims=True), q @ state["queue"]], 1) / 0.2
        return (jax.nn.logsumexp(logits, 1) - logits[:, 0]).mean(), q_stats

    (loss, q_stats), grads = jax.value_and_grad(loss_of, has_aux=True)(state["q"])
    momenta = jax.tree.map(lambda m, g, p: 0.9 * m + g + 1e-4 * p, state["momenta"], grads, state["q"])
    q = jax.tree.map(lambda p, m: p - 0.03 * m, state["q"], momenta)
    queue = lax.dynamic_update_slice(state["queue"], keys.T, (0, state["ptr"]))
    ptr = (state["ptr"] + len(keys)) % queue.shape[1]
    new = {"q": q, "k": follow, "q_stats": q_stats, "k_stats": k_stats, "momenta": momenta, "queue": queue, "ptr": ptr}
    return new, loss


def measure(mode: str, args: argparse.Namespace) -> dict[str, Any]:
    dtype = "bfloat16" if mode == "bf16" else "float32"
    depths = tuple(int(depth) for depth in args.depths.split(","))
    with jax.default_matmul_precision("highest" if mode == "fp32" else "default"):
        key = jax.random.key(0)
        params, stats = init(list(depths), 128, key)
        queue = jax.random.normal(key, (128, args.queue))
        state: Tree = {
            "q": params,
            "k": jax.tree.map(jnp.copy, params),
            "q_stats": stats,
            "k_stats": jax.tree.map(jnp.copy, stats),
            "momenta": jax.tree.map(jnp.zeros_like, params),
            "queue": queue / jnp.linalg.norm(queue, axis=0),
            "ptr": jnp.array(0),
        }
        xq, xk = jax.random.normal(key, (2, args.batch, args.size, args.size, 3))
        times: list[float] = []
        losses: list[float] = []
        for _ in range(1 + args.warmup + args.steps):
            before = time.perf_counter()
            state, loss = step(state, xq, xk, depths, dtype)
            losses.append(float(loss))
            times.append((time.perf_counter() - before) * 1000)
    timed = times[1 + args.warmup :]
    stats_of = jax.devices()[0].memory_stats() or {}
    median = statistics.median(timed)
    return {
        "ms": median,
        "imgPerSecond": args.batch / median * 1000,
        "firstStepMs": times[0],
        "memory": {"allocated": stats_of.get("peak_bytes_in_use", 0)},
        "losses": losses[:3] + losses[-1:],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", default="3,4,6,3")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--queue", type=int, default=65536)
    parser.add_argument("--modes", default="bf16,tf32")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--out", default="")
    args = parser.parse_args()
    device = jax.devices()[0].device_kind
    result: dict[str, Any] = {"peer": f"JAX {jax.__version__}", "card": device, **vars(args), "results": {}}
    for mode in args.modes.split(","):
        try:
            found = measure(mode, args)
            print(f"JAX {mode}: {found['ms']:.1f} ms, {found['imgPerSecond']:.0f} img/s, {found['memory']}", flush=True)
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}"[:1500]}
            print(f"JAX {mode}: {found['error'][:400]}", flush=True)
        result["results"][mode] = found
        if args.out:
            Path(args.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
