"""Several processes share a job: a lock lets one at a time do it, a counter adds up what was done.

python examples/workers.py [ws://127.0.0.1:8400] [workers]
"""

import multiprocessing
import sys

import tlru

ROUNDS = 5


def work(url: str, name: str) -> None:
    """One worker; the blocking face needs no event loop."""
    with tlru.sync.connect(url, timeout=10) as cache:
        for _ in range(ROUNDS):
            with cache.lock("report", ttl=10, wait=30) as lock:
                # A storage that is told the fence can refuse whoever held the lock before.
                cache.set("last report", {"by": name, "fence": lock.fence})
            cache.incr("reports")


def main(url: str, workers: int) -> None:
    """Start the workers, wait for them, and show what they did."""
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=work, args=(url, f"worker {number}")) for number in range(workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    with tlru.sync.connect(url) as cache:
        print("reports:", cache.get("reports"))
        print("the last:", cache.get("last report"))


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8400",
        int(sys.argv[2]) if len(sys.argv) > 2 else 3,
    )
