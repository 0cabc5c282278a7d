// Compiled once per instruction set: the optimizers' steps for float and double.
#include "optimizer.h"
#include "simd.h"
#include "threads.h"

namespace UNROLLED_LEVEL {
namespace {

using unrolled::Rule;
using unrolled::UpdateArgs;

template <class T> inline Vec<T> sqrt_of(Vec<T> x) {
  for (int i = 0; i < width<T>; i++) x[i] = sizeof(T) == 4 ? __builtin_sqrtf(x[i]) : __builtin_sqrt(x[i]);
  return x;
}
template <class T> constexpr T smallest_normal = sizeof(T) == 4 ? T(1.17549435e-38) : T(2.2250738585072014e-308);

// Running means of rows without gradients shrink until they are subnormal, where arithmetic is slow: zero instead, as
// in TensorFlow. NaN stays NaN.
template <class T> inline Vec<T> flush(Vec<T> x) {
  const T tiny = smallest_normal<T>;
  return ((x < tiny) & (x > -tiny)) ? Vec<T>{} : x;
}

// A rule: step changes one vector of the state and returns that of p. `idle`: with g = 0 p stays as it is, and step_idle
// does the rest; `rests`: with g = 0 and a state of zeros nothing changes. The same bits, less memory.
template <class T, bool with_momentum, bool nesterov> struct Sgd {
  static constexpr int slots = with_momentum;
  static constexpr bool idle = !with_momentum, rests = false;
  T rate, momentum;
  explicit Sgd(const UpdateArgs<T> &args) : rate(args.rate), momentum(args.constant[0]) {}
  Vec<T> step(Vec<T> p, Vec<T> g, Vec<T> *state) const {
    const Vec<T> move = g * rate;
    if (!with_momentum) return p - move;
    Vec<T> &m = state[0];
    m = flush<T>(m * momentum - move);
    return nesterov ? p + (m * momentum - move) : p + m;
  }
  void step_idle(Vec<T> *) const {}
};

template <class T, bool with_momentum, bool centered> struct RmsProp {
  static constexpr int slots = 1 + with_momentum + centered;
  static constexpr bool idle = !with_momentum && !centered, rests = true;
  T rate, rho, rest, epsilon, momentum;
  explicit RmsProp(const UpdateArgs<T> &args)
      : rate(args.rate), rho(args.constant[0]), rest(args.constant[1]), epsilon(args.constant[2]),
        momentum(args.constant[3]) {}
  Vec<T> step(Vec<T> p, Vec<T> g, Vec<T> *state) const {
    Vec<T> &v = state[0];
    v = flush<T>(v * rho + g * g * rest);
    Vec<T> under = v + epsilon;
    if (centered) {
      Vec<T> &a = state[slots - 1];
      a = flush<T>(a * rho + g * rest);
      under = v - a * a + epsilon;
    }
    const Vec<T> move = g * rate / sqrt_of<T>(under);
    if (!with_momentum) return p - move;
    Vec<T> &m = state[1];
    m = flush<T>(m * momentum + move);
    return p - m;
  }
  void step_idle(Vec<T> *state) const { state[0] = flush<T>(state[0] * rho); }
};

template <class T, bool amsgrad> struct Adam {
  static constexpr int slots = 2 + amsgrad;
  static constexpr bool idle = false, rests = true;
  T alpha, rest_1, rest_2, epsilon;
  explicit Adam(const UpdateArgs<T> &args)
      : alpha(args.rate), rest_1(args.constant[0]), rest_2(args.constant[1]), epsilon(args.constant[2]) {}
  Vec<T> step(Vec<T> p, Vec<T> g, Vec<T> *state) const {
    Vec<T> &m = state[0], &v = state[1];
    m = flush<T>(m + (g - m) * rest_1);
    v = flush<T>(v + (g * g - v) * rest_2);
    Vec<T> over = v;
    if (amsgrad) over = state[2] = v < state[2] ? state[2] : v;
    return p - m * alpha / (sqrt_of<T>(over) + epsilon);
  }
  void step_idle(Vec<T> *) const {}
};

// Not an optimizer, but the same pass over two arrays: p <- momentum p + (1 - momentum) g.
template <class T> struct Average {
  static constexpr int slots = 0;
  static constexpr bool idle = false, rests = false;
  T momentum, rest;
  explicit Average(const UpdateArgs<T> &args) : momentum(args.constant[0]), rest(args.constant[1]) {}
  Vec<T> step(Vec<T> p, Vec<T> g, Vec<T> *) const { return p * momentum + g * rest; }
  void step_idle(Vec<T> *) const {}
};

// How many vectors from entry i on are zero in all states: whole chunks of them.
template <class T, class R> size_t resting(const UpdateArgs<T> &args, size_t i, size_t end) {
  constexpr int W = width<T>, chunk = 4;
  const size_t begin = i;
  for (; i + chunk * W <= end; i += chunk * W) {
    typename Lanes<T>::integers bits{};
    for (int k = 0; k < R::slots; k++)
      for (int j = 0; j < chunk; j++) bits |= (typename Lanes<T>::integers)load(args.state[k] + i + j * W);
    auto any = bits[0];
    for (int j = 1; j < W; j++) any |= bits[j];
    if (any != 0) break;
  }
  return i - begin;
}

// Entries [begin, end) of p and its state; g has their gradients, or is null: zeros.
template <class T, class R> void run(const UpdateArgs<T> &args, size_t begin, size_t end, const T *g) {
  constexpr int W = width<T>;
  const R rule(args);
  const T decay = args.decay, scale = args.scale;
  T *const p = args.p;
  if (R::idle && !g && decay == 0) {
    if (R::slots == 0) return;
    T *const s = args.state[0];
    size_t i = begin;
    for (; i + W <= end; i += W) {
      Vec<T> state = load(s + i);
      rule.step_idle(&state);
      store(s + i, state);
    }
    if (i < end) {
      Vec<T> state{};
      std::memcpy(&state, s + i, (end - i) * sizeof(T));
      rule.step_idle(&state);
      std::memcpy(s + i, &state, (end - i) * sizeof(T));
    }
    return;
  }
  const bool may_rest = R::rests && !g && decay == 0;
  size_t i = begin;
  for (size_t look = begin; i + W <= end; i += W) {
    if (may_rest && i == look) {  // words that were never seen
      i += resting<T, R>(args, i, end);
      if (i + W > end) break;
      look = i + 4 * W;
    }
    Vec<T> state[R::slots + 1];
    for (int k = 0; k < R::slots; k++) state[k] = load(args.state[k] + i);
    Vec<T> value = load(p + i);
    value = value - value * decay;
    store(p + i, rule.step(value, g ? load(g + (i - begin)) * scale : Vec<T>{}, state));
    for (int k = 0; k < R::slots; k++) store(args.state[k] + i, state[k]);
  }
  if (i < end) {  // the same arithmetic on the last, shorter vector: bits do not depend on where a range ends
    const size_t bytes = (end - i) * sizeof(T);
    Vec<T> state[R::slots + 1] = {}, value{}, gradient{};
    for (int k = 0; k < R::slots; k++) std::memcpy(&state[k], args.state[k] + i, bytes);
    std::memcpy(&value, p + i, bytes);
    if (g) std::memcpy(&gradient, g + (i - begin), bytes);
    value = value - value * decay;
    value = rule.step(value, gradient * scale, state);
    std::memcpy(p + i, &value, bytes);
    for (int k = 0; k < R::slots; k++) std::memcpy(args.state[k] + i, &state[k], bytes);
  }
}

constexpr size_t block = 16384;  // entries that one task updates

// Rows of a table that one task takes, and how many tasks a parameter is.
template <class T> size_t rows_of_task(const UpdateArgs<T> &args) {
  return args.columns < block ? block / args.columns : 1;
}
template <class T> int tasks_of(const UpdateArgs<T> &args) {
  if (!args.slot) return int((args.rows * args.columns + block - 1) / block);
  return int((args.rows + rows_of_task(args) - 1) / rows_of_task(args));
}

template <class T, class R> void apply(const UpdateArgs<T> &args, int number) {
  const size_t D = args.columns, total = args.rows * D, rows = rows_of_task(args);
  if (!args.slot) {
    const size_t begin = size_t(number) * block, end = begin + block < total ? begin + block : total;
    return run<T, R>(args, begin, end, args.g + begin);
  }
  const size_t last = size_t(number + 1) * rows < args.rows ? size_t(number + 1) * rows : args.rows;
  for (size_t r = size_t(number) * rows; r < last;) {
    size_t stop = r + 1;
    if (args.slot[r] < 0) {
      while (stop < last && args.slot[stop] < 0) stop++;
      run<T, R>(args, r * D, stop * D, nullptr);
    } else {
      run<T, R>(args, r * D, stop * D, args.g + size_t(args.slot[r]) * args.ld);
    }
    r = stop;
  }
}

template <class T> void apply(const UpdateArgs<T> &args, int task) {
  switch (args.rule) {
    case Rule::sgd: return apply<T, Sgd<T, false, false>>(args, task);
    case Rule::sgd_momentum: return apply<T, Sgd<T, true, false>>(args, task);
    case Rule::sgd_nesterov: return apply<T, Sgd<T, true, true>>(args, task);
    case Rule::rmsprop: return apply<T, RmsProp<T, false, false>>(args, task);
    case Rule::rmsprop_momentum: return apply<T, RmsProp<T, true, false>>(args, task);
    case Rule::rmsprop_centered: return apply<T, RmsProp<T, false, true>>(args, task);
    case Rule::rmsprop_centered_momentum: return apply<T, RmsProp<T, true, true>>(args, task);
    case Rule::adam: return apply<T, Adam<T, false>>(args, task);
    case Rule::adam_amsgrad: return apply<T, Adam<T, true>>(args, task);
    case Rule::average: return apply<T, Average<T>>(args, task);
  }
}

template <class T> void update(const UpdateArgs<T> *parameters, int n, int *first_task) {
  first_task[0] = 0;
  for (int k = 0; k < n; k++) first_task[k + 1] = first_task[k] + tasks_of(parameters[k]);
  unrolled::parallel_for(first_task[n], [=](int task) {
    int k = 0;
    while (task >= first_task[k + 1]) k++;
    apply(parameters[k], task - first_task[k]);
  });
}

template <class T> bool finite(const T *g, size_t rows, size_t columns, size_t ld) {
  constexpr int W = width<T>;
  const bool packed = ld == columns;  // then as one long row
  const size_t length = packed ? rows * columns : columns, count = packed ? (length + block - 1) / block : rows;
  const size_t together = packed ? 1 : columns < block ? block / columns : 1;
  int bad = 0;
  unrolled::parallel_for(int((count + together - 1) / together), [&](int task) {
    const size_t first = size_t(task) * together, last = first + together < count ? first + together : count;
    for (size_t r = first; r < last; r++) {
      const T *from = packed ? g + r * block : g + r * ld;
      const size_t n = !packed ? length : length - r * block < block ? length - r * block : block;
      Vec<T> zeros{};  // 0 x is NaN where x is not finite
      T rest = 0;
      size_t i = 0;
      for (; i + W <= n; i += W) zeros += load(from + i) * T(0);
      for (; i < n; i++) rest += from[i] * T(0);
      for (int j = 0; j < W; j++) rest += zeros[j];
      if (rest != 0) __atomic_store_n(&bad, 1, __ATOMIC_RELAXED);
    }
  });
  return !bad;
}

}  // namespace

extern const unrolled::Optimizers<float> optimizers_float;
extern const unrolled::Optimizers<double> optimizers_double;
constinit const unrolled::Optimizers<float> optimizers_float = {update<float>, finite<float>};
constinit const unrolled::Optimizers<double> optimizers_double = {update<double>, finite<double>};

}  // namespace UNROLLED_LEVEL
