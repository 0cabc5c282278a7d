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
template <class T> inline auto is_tiny(Vec<T> x) { return (x < smallest_normal<T>) & (x > -smallest_normal<T>); }
template <class T> inline Vec<T> flush(Vec<T> x) { return is_tiny<T>(x) ? Vec<T>{} : x; }
template <class T> inline Vec<T> leave(Vec<T> x) { return x; }

// A rule: step changes one vector of the state and returns that of p. `idle`: with g = 0 p stays as it is, and step_idle
// does the rest; `rests`: with g = 0 and a state of zeros nothing changes; `fades`: with g = 0 p moves less and less, see
// Lagging; `waits`: rows without gradient may take their steps later. The same bits, less memory. settle: flush, or leave where it is known that nothing would be flushed.
template <class T, bool with_momentum, bool nesterov> struct Sgd {
  static constexpr int slots = with_momentum;
  static constexpr bool idle = !with_momentum, rests = false, fades = false, waits = !idle;
  T rate, momentum;
  explicit Sgd(const UpdateArgs<T> &args) : rate(args.rate), momentum(args.constant[0]) {}
  template <Vec<T> settle(Vec<T>) = flush<T>> Vec<T> step(Vec<T> p, Vec<T> g, Vec<T> *state) const {
    const Vec<T> move = g * rate;
    if (!with_momentum) return p - move;
    Vec<T> &m = state[0];
    m = settle(m * momentum - move);
    return nesterov ? p + (m * momentum - move) : p + m;
  }
  void step_idle(Vec<T> *) const {}
};

template <class T, bool with_momentum, bool centered> struct RmsProp {
  static constexpr int slots = 1 + with_momentum + centered;
  static constexpr bool idle = !with_momentum && !centered, rests = true, fades = false, waits = !idle;
  T rate, rho, rest, epsilon, momentum;
  explicit RmsProp(const UpdateArgs<T> &args)
      : rate(args.rate), rho(args.constant[0]), rest(args.constant[1]), epsilon(args.constant[2]),
        momentum(args.constant[3]) {}
  template <Vec<T> settle(Vec<T>) = flush<T>> Vec<T> step(Vec<T> p, Vec<T> g, Vec<T> *state) const {
    Vec<T> &v = state[0];
    v = settle(v * rho + g * g * rest);
    Vec<T> under = v + epsilon;
    if (centered) {
      Vec<T> &a = state[slots - 1];
      a = settle(a * rho + g * rest);
      under = v - a * a + epsilon;
    }
    const Vec<T> move = g * rate / sqrt_of<T>(under);
    if (!with_momentum) return p - move;
    Vec<T> &m = state[1];
    m = settle(m * momentum + move);
    return p - m;
  }
  void step_idle(Vec<T> *state) const { state[0] = flush<T>(state[0] * rho); }
};

template <class T, bool amsgrad> struct Adam {
  static constexpr int slots = 2 + amsgrad;
  static constexpr bool idle = false, rests = true, fades = !amsgrad, waits = true;
  T rate, rest_1, rest_2, epsilon;  // the rate is alpha
  explicit Adam(const UpdateArgs<T> &args)
      : rate(args.rate), rest_1(args.constant[0]), rest_2(args.constant[1]), epsilon(args.constant[2]) {}
  template <Vec<T> settle(Vec<T>)> void step_means(Vec<T> g, Vec<T> *state) const {
    Vec<T> &m = state[0], &v = state[1];
    m = settle(m + (g - m) * rest_1);
    v = settle(v + (g * g - v) * rest_2);
  }
  Vec<T> move(Vec<T> p, Vec<T> m, Vec<T> v) const { return p - m * rate / (sqrt_of<T>(v) + epsilon); }
  template <Vec<T> settle(Vec<T>) = flush<T>> Vec<T> step(Vec<T> p, Vec<T> g, Vec<T> *state) const {
    step_means<settle>(g, state);
    if (amsgrad) state[2] = state[1] < state[2] ? state[2] : state[1];
    return move(p, state[0], state[1 + amsgrad]);
  }
  void step_idle(Vec<T> *) const {}
};

// Not an optimizer, but the same pass over two arrays: p <- momentum p + (1 - momentum) g.
template <class T> struct Average {
  static constexpr int slots = 0;
  static constexpr bool idle = false, rests = false, fades = false, waits = false;
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

template <class V> inline bool same_bits(const V &a, const V &b) { return std::memcmp(&a, &b, sizeof(V)) == 0; }

// N vectors of p and their state take steps without gradient.
//
// Without gradients states only shrink. So steps are taken in groups that flush nothing, and a group at whose end
// something should have been flushed is taken again.
template <class T, class R, int N> struct Lagging {
  using Integers = typename Lanes<T>::integers;
  static constexpr Vec<T> zero{};
  Vec<T> p[N], state[N][R::slots + 1];

  template <Vec<T> settle(Vec<T>)> void step(R &rule, const T *rates, int count) {
    for (int s = 0; s < count; s++) {
      rule.rate = rates[s];
      for (int j = 0; j < N; j++) p[j] = rule.template step<settle>(p[j], zero, state[j]);
    }
  }
  template <Vec<T> settle(Vec<T>)> void step_means(const R &rule, int count) {
    for (int s = 0; s < count; s++)
      for (int j = 0; j < N; j++) rule.template step_means<settle>(zero, state[j]);
  }
  bool flushed_nothing(const Lagging &before) const {
    Integers bad{};
    for (int j = 0; j < N; j++)
      for (int k = 0; k < R::slots; k++) bad |= is_tiny<T>(state[j][k]) & (Integers)(before.state[j][k] != T(0));
    return same_bits(bad, Integers{});
  }
  bool resting() const {
    Integers bits{};
    for (int j = 0; j < N; j++)
      for (int k = 0; k < R::slots; k++) bits |= (Integers)state[j][k];
    return same_bits(bits, Integers{});
  }
  // Whether p stays as it is in all steps between `before` and now: the largest rate with the m of before and the v of now
  // bounds every move.
  bool stays(R rule, const Lagging &before, T most_rate) const {
    rule.rate = most_rate;
    Integers moved{};
    for (int j = 0; j < N; j++) {
      const Vec<T> m = before.state[j][0], v = state[j][1];
      moved |= ((Integers)rule.move(p[j], m, v) ^ (Integers)p[j]) | ((Integers)rule.move(p[j], -m, v) ^ (Integers)p[j]);
    }
    return same_bits(moved, Integers{});
  }

  // fades (Adam): m shrinks faster than the root of v, so that soon p moves by less than half a unit of its last digit,
  // which is not at all. Then m and v go on alone.
  void catch_up(R rule, const T *rates, int count, T most_rate) {
    if (R::rests && resting()) return;
    bool still = false;
    for (int together = 16; count > 0;) {
      const int some = together < count ? together : count;
      const Lagging before = *this;
      bool done = false;
      if constexpr (R::fades)
        if (still) {
          step_means<leave<T>>(rule, some);
          if (!flushed_nothing(before)) *this = before, step_means<flush<T>>(rule, some);
          done = stays(rule, before, most_rate);
          if (done && together < 1024) together *= 2;
          if (!done) *this = before;
        }
      if (!done) {
        step<leave<T>>(rule, rates, some);
        if (!flushed_nothing(before)) *this = before, step<flush<T>>(rule, rates, some);
        if constexpr (R::fades) still = stays(rule, *this, most_rate);
        together = 16;
      }
      rates += some, count -= some;
    }
  }
};

// N vectors of row r, or what is left of it, from entry i of the table on, take the steps that they lack.
template <class T, class R, int N>
void catch_up(const UpdateArgs<T> &args, const R &rule, size_t i, size_t end, int from, T most_rate) {
  constexpr size_t W = width<T>;
  Lagging<T, R, N> here{};
  const auto each = [&](auto &&move) {
    for (int j = 0; j < N; j++) {
      const size_t at = i + j * W, some = end - at < W ? end - at : W;
      move(args.p + at, here.p[j], some);
      for (int k = 0; k < R::slots; k++) move(args.state[k] + at, here.state[j][k], some);
    }
  };
  each([](const T *entries, Vec<T> &v, size_t some) {
    if (some == W)
      v = load(entries);
    else
      std::memcpy(&v, entries, some * sizeof(T));
  });
  here.catch_up(rule, args.past_rate + from, args.steps - from, most_rate);
  each([](T *entries, const Vec<T> &v, size_t some) {
    if (some == W)
      store(entries, v);
    else
      std::memcpy(entries, &v, some * sizeof(T));
  });
}

// Row r takes the steps that it lacks, and with g one more.
template <class T, class R> void run_row(const UpdateArgs<T> &args, size_t r, T most_rate, const T *g) {
  constexpr size_t W = width<T>;
  const int from = args.taken[r];
  const size_t begin = r * args.columns, end = begin + args.columns;
  args.taken[r] = args.steps + (g != nullptr);
  if (from < args.steps) {
    const R rule(args);
    for (size_t i = begin; i < end;) {
      if (end - i > W)
        catch_up<T, R, 2>(args, rule, i, end, from, most_rate), i += 2 * W;
      else
        catch_up<T, R, 1>(args, rule, i, end, from, most_rate), i += W;
    }
  }
  if (g) run<T, R>(args, begin, end, g);
}

constexpr size_t block = 16384;  // entries that one task updates
constexpr size_t few_rows = 64;  // rows that one task catches up with

// Rows of a table that one task takes, and how many tasks a parameter is.
template <class T> size_t rows_of_task(const UpdateArgs<T> &args) {
  return args.columns < block ? block / args.columns : 1;
}
template <class T> int tasks_of(const UpdateArgs<T> &args) {
  if (args.taken) return int((args.row_count + few_rows - 1) / few_rows);
  if (!args.slot) return int((args.rows * args.columns + block - 1) / block);
  return int((args.rows + rows_of_task(args) - 1) / rows_of_task(args));
}

template <class T, class R> void apply_rows(const UpdateArgs<T> &args, int number) {
  const size_t first = size_t(number) * few_rows, last = first + few_rows < args.row_count ? first + few_rows : args.row_count;
  T most_rate = args.rate;
  for (int s = 0; s < args.steps; s++) most_rate = most_rate < args.past_rate[s] ? args.past_rate[s] : most_rate;
  const auto row = [&](size_t i) { return args.row ? size_t(args.row[i]) : i; };
  for (size_t i = first; i < last; i++) {
    if (i + 4 < last) {
      const size_t next = row(i + 4) * args.columns;
      prefetch(args.p + next, args.columns);
      for (int k = 0; k < R::slots; k++) prefetch(args.state[k] + next, args.columns);
    }
    run_row<T, R>(args, row(i), most_rate, args.g ? args.g + i * args.ld : nullptr);
  }
}

template <class T, class R> void apply(const UpdateArgs<T> &args, int number) {
  if constexpr (R::waits)
    if (args.taken) return apply_rows<T, R>(args, number);
  const size_t D = args.columns, total = args.rows * D, rows = rows_of_task(args);
  if (!args.slot) {
    const size_t begin = size_t(number) * block, end = begin + block < total ? begin + block : total;
    return run<T, R>(args, begin, end, args.g + begin);
  }
  const size_t last = size_t(number + 1) * rows < args.rows ? size_t(number + 1) * rows : args.rows;
  const auto gradient = [&](size_t r) { return args.g + size_t(args.slot[r]) * args.ld; };
  constexpr size_t ahead = 8;
  for (size_t r = size_t(number) * rows; r < last;) {
    size_t stop = r + 1;
    if (r + ahead < last && args.slot[r + ahead] >= 0) prefetch(gradient(r + ahead), D);
    if (args.slot[r] < 0) {
      while (stop < last && args.slot[stop] < 0) stop++;
      run<T, R>(args, r * D, stop * D, nullptr);
    } else {
      run<T, R>(args, r * D, stop * D, gradient(r));
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

template <class T> struct UpdateWork : unrolled::Work {
  const UpdateArgs<T> args;
  explicit UpdateWork(const UpdateArgs<T> &parameter) : args(parameter) { tasks = tasks_of(args); }
  void task(int i) override { apply(args, i); }
};
template <class T> unrolled::Work *update_later(const UpdateArgs<T> &parameter) {
  return tasks_of(parameter) > 1 ? new UpdateWork<T>(parameter) : nullptr;
}

template <class T> void catch_up(const UpdateArgs<T> &table) {
  int64_t missing = 0;
  for (size_t i = 0; i < table.row_count; i++) missing += table.steps - table.taken[table.row ? table.row[i] : i];
  const size_t work = size_t(missing) * table.columns;
  unrolled::parallel_if(work > block, tasks_of(table), [&](int task) { apply(table, task); });
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
constinit const unrolled::Optimizers<float> optimizers_float = {update<float>, update_later<float>, catch_up<float>,
                                                                finite<float>};
constinit const unrolled::Optimizers<double> optimizers_double = {update<double>, update_later<double>,
                                                                         catch_up<double>, finite<double>};

}  // namespace UNROLLED_LEVEL
