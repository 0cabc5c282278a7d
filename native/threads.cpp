#include "threads.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <pthread.h>
#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace unrolled {
namespace {

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// A thread's first exception needs a little memory of its own, and the C library ends the process if there is none: each
// thread gets it while there is.
void get_ready_to_throw() { (void)std::uncaught_exceptions(); }

thread_local bool at_tasks = false;  // of the pool: what such a task shares out, it runs alone

struct Pool {
  std::mutex owner;  // held by the Python thread whose tasks the pool runs
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<std::thread> workers;
  std::atomic<int> ready{0};  // workers that can run tasks
  int asked = 0;  // workers that should be there; the system may grant fewer
  std::atomic<unsigned> generation{0};
  std::atomic<int> next{0};
  // How many workers are at the tasks, or `closed`: nobody may join. A worker that wakes too late is not waited for.
  static constexpr int closed = 1 << 30;
  std::atomic<int> gate{closed};
  int count = 0;
  void (*task)(void *, int) = nullptr;
  void *context = nullptr;
  bool *failed = nullptr;  // where it is noted that a task had no memory
  std::atomic<bool> stop{false};
  std::atomic<bool> started{false};  // tasks for which nobody has waited yet

  bool enter() {
    int inside = gate.load(std::memory_order_acquire);
    while (!(inside & closed))
      if (gate.compare_exchange_weak(inside, inside + 1, std::memory_order_acq_rel)) return true;
    return false;
  }

  void run_tasks() {
    at_tasks = true;
    for (int i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
      try {
        task(context, i);
      } catch (const std::bad_alloc &) {  // may not leave a worker, nor the owner while workers are at its tasks
        __atomic_store_n(failed, true, __ATOMIC_RELAXED);
      }
    }
    at_tasks = false;
  }

  // The rest is for the owner.
  void begin(int tasks, void (*run)(void *, int), void *with, bool *noted) {
    count = tasks, task = run, context = with, failed = noted;
    next.store(0, std::memory_order_relaxed);
    gate.store(0, std::memory_order_release);
    signal(false);
  }
  void end() {
    run_tasks();
    gate.fetch_or(closed, std::memory_order_acq_rel);
    for (int spin = 0; gate.load(std::memory_order_acquire) != closed; spin++) {
      relax();
      if (spin > 20000) std::this_thread::yield();
    }
    started.store(false, std::memory_order_release);
  }
  // Ready for the owner's tasks: those that were started have ended, n workers are there.
  void get_ready(int n) {
    if (started.load(std::memory_order_relaxed)) end();
    resize(n);
  }

  void work(unsigned seen) {
    get_ready_to_throw();
    ready.fetch_add(1, std::memory_order_release);
    while (true) {
      // Parallel parts of training follow each other within a millisecond, and waking takes long: spin before sleeping.
      const auto patience = std::chrono::steady_clock::now() + std::chrono::microseconds(1000);
      for (int spin = 1; generation.load(std::memory_order_acquire) == seen; spin++) {
        relax();
        if (spin % 64 == 0 && std::chrono::steady_clock::now() > patience) break;
      }
      if (generation.load(std::memory_order_acquire) == seen) {
        std::unique_lock<std::mutex> lock(mutex);
        wake.wait(lock, [&] { return generation.load(std::memory_order_relaxed) != seen; });
      }
      seen = generation.load(std::memory_order_acquire);
      if (stop) return;
      if (!enter()) continue;
      run_tasks();
      gate.fetch_sub(1, std::memory_order_release);
    }
  }

  void resize(int n) {
    if (asked == n) return;
    asked = n;
    signal(true);
    for (auto &worker : workers) worker.join();
    workers.clear();
    stop = false;
    ready.store(0);
    const unsigned seen = generation.load();
    try {
      for (int i = 0; i < n; i++) workers.emplace_back([this, seen] { work(seen); });
    } catch (const std::system_error &) {  // no more threads to be had: those that started do the work
    }
    while (ready.load(std::memory_order_acquire) < static_cast<int>(workers.size())) std::this_thread::yield();
  }

  void signal(bool stopping) {
    std::lock_guard<std::mutex> lock(mutex);
    stop = stopping;
    generation.fetch_add(1, std::memory_order_release);
    wake.notify_all();
  }
};

std::atomic<int> wanted{1};
Pool *pool = nullptr;

struct BufferPool {
  struct Entry {
    size_t bytes;
    void *base;
  };
  std::mutex mutex;
  std::vector<Entry> free;  // oldest first
  size_t free_bytes = 0;
  // Few enough to look through; with room for all, giving one back needs no memory.
  static constexpr size_t most = 512;
  BufferPool() { free.reserve(most); }

  void remove(size_t i) {
    free_bytes -= free[i].bytes;
    free.erase(free.begin() + i);
  }
};
BufferPool *buffers = nullptr;
constexpr size_t header = 64;
constexpr size_t keep_bytes = size_t(1) << 28;

// A forked child has no workers and perhaps a locked mutex: it starts with pools of its own.
void start_afresh() {
  pool = new Pool;
  buffers = new BufferPool;
}
const bool started = [] {
  get_ready_to_throw();
  start_afresh();
  pthread_atfork(finish, nullptr, start_afresh);
  return true;
}();

}  // namespace

void set_threads(int n) { wanted = n < 1 ? 1 : n; }
int get_threads() { return wanted; }

void parallel(int count, void (*task)(void *, int), void *context) {
  const int threads = wanted.load();
  if (count <= 1 || threads <= 1 || at_tasks || !pool->owner.try_lock()) {
    for (int i = 0; i < count; i++) task(context, i);
    return;
  }
  std::lock_guard<std::mutex> own(pool->owner, std::adopt_lock);
  pool->get_ready(threads - 1);
  bool failed = false;
  pool->begin(count, task, context, &failed);
  pool->end();
  if (failed) throw std::bad_alloc();
}

Work::~Work() = default;
void Work::end() {}

void start(Work &work) {
  const int threads = wanted.load();
  if (threads <= 1 || at_tasks || !pool->owner.try_lock()) {
    for (int i = 0; i < work.tasks; i++) work.task(i);
    return;
  }
  std::lock_guard<std::mutex> own(pool->owner, std::adopt_lock);
  pool->get_ready(threads - 1);
  pool->started.store(true, std::memory_order_relaxed);
  pool->begin(work.tasks, [](void *context, int i) { static_cast<Work *>(context)->task(i); }, &work, &work.failed);
}

void finish() {
  if (!pool->started.load(std::memory_order_acquire)) return;
  std::lock_guard<std::mutex> own(pool->owner);
  if (pool->started.load(std::memory_order_relaxed)) pool->end();
}

void yield() { std::this_thread::yield(); }

void *take_buffer(size_t count, size_t entry_bytes) {
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, entry_bytes, &bytes) || bytes > PTRDIFF_MAX) throw std::bad_alloc();
  // Sizes of ragged batches vary a little: rounding up to eighths of a power of two lets buffers be used again.
  size_t step = 4096;
  while (step * 16 <= bytes) step *= 2;
  bytes = (bytes + step - 1) / step * step;
  {
    std::lock_guard<std::mutex> lock(buffers->mutex);
    const auto &free = buffers->free;
    size_t best = free.size(), outgrown = free.size();
    for (size_t i = free.size(); i-- > 0;) {
      if (free[i].bytes >= bytes && free[i].bytes <= bytes + bytes / 2 + 65536 &&
          (best == free.size() || free[i].bytes < free[best].bytes))
        best = i;
      if (free[i].bytes < bytes && bytes <= free[i].bytes + free[i].bytes / 2 &&
          (outgrown == free.size() || free[i].bytes > free[outgrown].bytes))
        outgrown = i;
    }
    if (best < free.size()) {
      char *base = static_cast<char *>(free[best].base);
      buffers->remove(best);
      return base + header;
    }
    // One that was a little too small did the same work for a smaller batch: the new one takes its place, or buffers of
    // all the sizes that ever came would be kept.
    if (outgrown < free.size()) {
      std::free(free[outgrown].base);
      buffers->remove(outgrown);
    }
  }
  // Large tables are read at random: huge pages, where the system has them, save misses of the page table.
  const bool large = bytes >= huge_page;
  const size_t align = large ? huge_page : 64;
  char *base = static_cast<char *>(std::aligned_alloc(align, (header + bytes + align - 1) / align * align));
  if (base == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (large) madvise(base, (header + bytes + align - 1) / align * align, MADV_HUGEPAGE);
#endif
  *reinterpret_cast<size_t *>(base) = bytes;
  return base + header;
}

void give_buffer(void *buffer) {
  if (buffer == nullptr) return;
  char *base = static_cast<char *>(buffer) - header;
  const size_t bytes = *reinterpret_cast<size_t *>(base);
  std::lock_guard<std::mutex> lock(buffers->mutex);
  while (!buffers->free.empty() &&
         (buffers->free_bytes + bytes > keep_bytes || buffers->free.size() == BufferPool::most)) {
    std::free(buffers->free.front().base);
    buffers->remove(0);
  }
  buffers->free.push_back({bytes, base});
  buffers->free_bytes += bytes;
}

void drop_buffers() {
  std::lock_guard<std::mutex> lock(buffers->mutex);
  for (const auto &entry : buffers->free) std::free(entry.base);
  buffers->free.clear();
  buffers->free_bytes = 0;
#ifdef __GLIBC__
  malloc_trim(0);  // glibc keeps what was freed between other blocks, a hundred megabytes after a training
#endif
}

}  // namespace unrolled
