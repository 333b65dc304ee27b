"""Watches another process, and tells what grows in it.

    python3 watch_process.py [--interval SECONDS] [--rounds N] [--html FILE] PID

The process uses tmempool: it was started by `tmempool run`, linked with it, or is a Python script. It
is read from outside, and goes on. With --html, the last picture of its trees is written to a file for a
browser.
"""

import argparse
import sys
import time

import tmempool


def main():
    parser = argparse.ArgumentParser(description="Tells what grows in another process.")
    parser.add_argument("pid", type=int)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds from one look to the next")
    parser.add_argument("--rounds", type=int, default=10, help="how often to look")
    parser.add_argument("--html", help="write a picture of the trees to this file")
    options = parser.parse_args()
    try:
        process = tmempool.attach(options.pid)
        last = process.snapshot()
        print(f"{process.program}: {last.total_size} bytes in {last.total_blocks} chunks", flush=True)
        for _ in range(options.rounds):
            time.sleep(options.interval)
            now = process.snapshot()
            changes = last.diff(now)
            print(f"{changes.size:+} bytes, {changes.count:+} chunks", flush=True)
            for growth in list(changes)[:5]:
                print(f"  {growth}", flush=True)
            last = now
    except ProcessLookupError:
        print("the process has ended", file=sys.stderr)
        return 0
    except (tmempool.AttachError, PermissionError) as error:
        print(error, file=sys.stderr)
        return 1
    if options.html:
        with open(options.html, "w", encoding="utf-8") as page:
            page.write(f"<!doctype html><meta charset=utf-8><title>{options.pid}</title>")
            page.write(last._repr_html_())
    return 0


if __name__ == "__main__":
    sys.exit(main())
