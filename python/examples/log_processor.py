"""Counts what went wrong in log files, and keeps each file's records in a context of its own.

    python3 log_processor.py access.log …

A line is "TIME STATUS BYTES PATH". The records of a file lie in one array of ctypes structures, its
paths in strings beside it; all of it goes when the file's context does. What is wanted of it in the end,
the worst path, is moved to the report's context, and so survives. The same pool serves one file after
another, and is emptied in between.
"""

import ctypes
import sys

import tmempool


class Record(ctypes.Structure):
    """One line of a log."""

    _fields_ = [
        ("time", ctypes.c_double),
        ("status", ctypes.c_uint16),
        ("bytes", ctypes.c_uint64),
        ("path", ctypes.c_uint32),
    ]


def read(file, ctx):
    """The records of a file, and its paths, in `ctx`."""
    with open(file, encoding="utf-8", errors="replace") as lines:
        fields = [line.split(maxsplit=3) for line in lines]
    fields = [field for field in fields if len(field) == 4]
    paths, numbers = [], {}
    block = ctx.bytes(len(fields) * ctypes.sizeof(Record), name="records")
    with block.view() as view:
        records = (Record * len(fields)).from_buffer(view)
        for record, (time, status, size, path) in zip(records, fields):
            path = path.strip()
            if path not in numbers:
                numbers[path] = len(paths)
                paths.append(ctx.string(path))
            record.time, record.status = float(time), int(status)
            record.bytes, record.path = int(size), numbers[path]
        # While somebody has the bytes, the context cannot be freed.
        del records, record
    return block, paths


def summarize(block, paths, report):
    """The failed requests, the bytes, and the path that failed most often, which moves to `report`."""
    failures = [0] * len(paths)
    size = 0
    with block.view() as view:
        records = (Record * (len(view) // ctypes.sizeof(Record))).from_buffer(view)
        for record in records:
            size += record.bytes
            failures[record.path] += record.status >= 400
        count = len(records)
        del records, record
    worst = max(range(len(paths)), key=failures.__getitem__)
    return count, sum(failures), size, report.steal(paths[worst])


def main(files):
    with tmempool.Context("report") as report, tmempool.Context("work") as work:
        pool = work.growing_pool(64 << 10, name="one file")
        for file in files:
            block, paths = read(file, pool)
            held = pool.total_size
            count, failed, size, worst = summarize(block, paths, report)
            print(f"{file}: {count} requests, {size} bytes, {failed} failed, most of them {worst}")
            pool.reset()
            assert not block.alive and worst.alive
            print(f"  {held} bytes of records are free again; {report.total_size} are kept")
        print(report.report(), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
