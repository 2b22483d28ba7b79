"""Files of vectors as NumPy and pyarrow write them, for the readers: parity/fixtures/vectors/.

Vector r has the values ((r * DIM + c) mod 17) / 8 - 1, which every float holds exactly; its id is `p/é r.png`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS, DIM = 7, 3
OUT = Path(__file__).parent / "fixtures" / "vectors"

if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    values = (np.arange(ROWS * DIM) % 17 / 8 - 1).reshape(ROWS, DIM)
    np.save(OUT / "float32.npy", values.astype(np.float32))
    np.save(OUT / "float64.npy", values)
    np.save(OUT / "float16.npy", values.astype(np.float16))
    np.save(OUT / "columns.npy", np.asfortranarray(values.astype(np.float32)))
    np.save(OUT / "cube.npy", values.astype(np.float32).reshape(ROWS, DIM, 1))
    np.save(OUT / "record.npy", np.zeros(2, dtype=[("a", "<f4"), ("b", "<i4")]))
    ids = pa.array([f"p/é {r}.png" for r in range(ROWS)])
    lists = {"list": pa.list_(pa.float32()), "fixed": pa.list_(pa.float32(), DIM), "double": pa.list_(pa.float64())}
    for name, kind in lists.items():
        table = pa.table({"extra": pa.array(range(ROWS)), "vector": pa.array(values.tolist(), kind), "id": ids})
        # Several groups of rows, compressed, with dictionaries: unlike our own.
        pq.write_table(table, OUT / f"{name}.parquet", row_group_size=3)
    pq.write_table(pa.table({"id": ids}), OUT / "no-vectors.parquet")
    pq.write_table(pa.table({"id": ids, "vector": pa.array(range(ROWS))}), OUT / "numbers.parquet")
    ragged = pa.array([[1.0] * (1 + r % 2) for r in range(ROWS)], pa.list_(pa.float32()))
    pq.write_table(pa.table({"id": ids, "vector": ragged}), OUT / "ragged.parquet")
