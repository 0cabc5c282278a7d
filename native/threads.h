// threads.h: a pool of worker threads and a pool of buffers, shared by the whole process.
#pragma once
#include <cstddef>

namespace unrolled {

// Runs task(context, i) for i in [0, count), each once, on the pool's threads and the caller's. The order in which
// tasks start is 0, 1, 2 ...; results must not depend on which thread runs what. If another Python thread is using the
// pool, or the caller is at such a task itself, it runs its tasks alone. A task may throw std::bad_alloc and nothing else:
// the other tasks still run, then the caller throws it.
void parallel(int count, void (*task)(void *context, int i), void *context);
template <class F> void parallel_for(int count, const F &f) {
  parallel(count, [](void *context, int i) { (*static_cast<const F *>(context))(i); }, const_cast<F *>(&f));
}

// The same, shared out among the threads only where that is worth it.
template <class F> void parallel_if(bool worth, int count, const F &f) {
  if (worth) return parallel_for(count, f);
  for (int i = 0; i < count; i++) f(i);
}

// Work that goes on after `start` has returned: workers begin, and whoever shares out tasks next, or calls finish, helps first.
// It stays as it is until finish has returned; then, or when somebody needs it, `end` does the rest. Where no workers are to
// be had its tasks run at once. They may throw std::bad_alloc and nothing else.
struct Work {
  int tasks = 0;
  bool failed = false;  // a task had no memory
  virtual ~Work();
  virtual void task(int i) = 0;
  virtual void end();
};
void start(Work &work);
void finish();  // returns when all tasks of what was started have run

void yield();  // for a task that waits for an earlier one (which then has started: tasks start in order)

void set_threads(int n);  // n >= 1, the caller's thread included
int get_threads();

constexpr size_t huge_page = size_t(1) << 21;  // bytes of a buffer from which on it stands in such pages, where there are any

// 64-byte aligned memory for count entries, kept and reused so that a training step does not fault in fresh pages.
// Never null: throws std::bad_alloc, also for a product that no address can hold.
void *take_buffer(size_t count, size_t entry_bytes);
void give_buffer(void *buffer);
void drop_buffers();  // all that are free go back to the system

}  // namespace unrolled
