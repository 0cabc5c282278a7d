// bind_optimizers.cpp: one step of an optimizer on all parameters, and whether arrays are finite or within bounds.
#include "bindings.h"

namespace unrolled {
namespace {

struct RuleInfo {
  const char *name;
  int slots;
  bool waits;
};
const RuleInfo rules[] = {
#define RULE(name, slots, waits) {#name, slots, waits},
    UNROLLED_RULES(RULE)
#undef RULE
};
constexpr int rule_count = sizeof(rules) / sizeof(rules[0]);

template <class T> using Changed = nb::ndarray<T, nb::c_contig, nb::device::cpu>;

// A parameter and its state, without a gradient yet.
template <class T>
UpdateArgs<T> rule_args(int rule, const Changed<T> &value, const std::vector<Changed<T>> &state,
                        const std::vector<double> &constants) {
  require(rule >= 0 && rule < rule_count && constants.size() <= 4, "no such rule, or constants of another one");
  require(int(state.size()) == rules[rule].slots, "state of another rule");
  UpdateArgs<T> args{};
  args.rule = Rule(rule), args.rows = 1, args.columns = value.size(), args.p = value.data(), args.scale = 1;
  for (size_t k = 0; k < state.size(); k++) {
    require(state[k].size() == value.size(), "state of another size");
    require_aligned(state[k]);
    args.state[k] = state[k].data();
  }
  for (size_t k = 0; k < constants.size(); k++) args.constant[k] = T(constants[k]);
  return args;
}

// The gradient of one parameter, whole or of some rows, into args; slot: room for where each row's gradient stands.
template <class T>
void take_gradient(UpdateArgs<T> &args, const Changed<T> &value, const nb::ndarray<const T, nb::device::cpu> &gradient,
                   const std::optional<Ids> &rows, std::vector<int32_t> &slot) {
  require_aligned(value, gradient, rows);
  args.g = gradient.data();
  if (!rows) {
    require(gradient.size() == value.size(), "gradient of another size");
    int64_t next = 1;
    for (size_t axis = gradient.ndim(); axis-- > 0;) {
      require(gradient.shape(axis) == 1 || gradient.stride(axis) == next, "gradient must be contiguous");
      next *= int64_t(gradient.shape(axis));
    }
    return;
  }
  require(value.ndim() == 2 && gradient.ndim() == 2 && gradient.shape(0) == rows->size() &&
          gradient.shape(1) == value.shape(1) && (gradient.stride(1) == 1 || value.shape(1) <= 1) &&
          (gradient.stride(0) >= 0 || gradient.shape(0) <= 1) && rows->size() < most, "gradient (n, D)");
  args.rows = value.shape(0), args.columns = value.shape(1), args.ld = size_t(gradient.stride(0));
  slot.assign(args.rows, -1);
  for (size_t i = 0; i < rows->size(); i++) {
    const int32_t r = rows->data()[i];
    if (uint32_t(r) >= args.rows) throw nb::index_error("rows outside the table");
    require(slot[r] < 0, "rows must be distinct");
    slot[r] = int32_t(i);
  }
  args.slot = slot.data();
}

// Which steps of a table its rows have taken: (taken (V,), room for rates, how many of them there are (1,)). They are only
// changed here, together with the table, so that no Ctrl-C comes between.
template <class T> using Rates = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Counts = nb::ndarray<int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T> using Pending = std::tuple<Counts, Rates<T>, Counts>;

// Into args; rows: those that take part, or null for all. They must be in the table and distinct.
template <class T> void take_pending(UpdateArgs<T> &args, const Pending<T> &pending, const std::optional<Ids> &rows) {
  const auto &[taken, rates, steps] = pending;
  require(rules[int(args.rule)].waits, "a rule whose rows cannot wait");
  require_aligned(taken, rates, steps, rows);
  require(taken.size() == args.rows && rates.size() < most && steps.size() == 1 && steps.data()[0] >= 0 &&
          size_t(steps.data()[0]) <= rates.size(), "taken (V,), rates (most steps,), steps (1,)");
  args.taken = taken.data(), args.past_rate = rates.data(), args.steps = steps.data()[0];
  args.slot = nullptr;
  args.row = rows ? rows->data() : nullptr, args.row_count = rows ? rows->size() : args.rows;
  for (size_t i = 0; i < args.row_count; i++) {
    const size_t r = args.row ? uint32_t(args.row[i]) : i;
    if (r >= args.rows) throw nb::index_error("rows outside the table");
    require(args.taken[r] >= 0 && args.taken[r] <= args.steps, "more steps taken than there were");
  }
}

// Rows of a table take the steps that they lack; rows: distinct, or None for all, and then there are none any more.
template <class T>
void catch_up(int rule, Changed<T> value, std::vector<Changed<T>> state, Pending<T> pending, std::vector<double> constants,
              std::optional<Ids> rows) {
  UpdateArgs<T> args = rule_args<T>(rule, value, state, constants);
  require(value.ndim() == 2, "a table (V, D)");
  args.rows = value.shape(0), args.columns = value.shape(1);
  take_pending(args, pending, rows);
  optimizers<T>().catch_up(args);  // holds the interpreter: two threads may predict with one model
  if (rows) return;
  std::fill_n(args.taken, args.rows, 0);
  std::get<2>(pending).data()[0] = 0;
}

// One step on all parameters of one float type; state, rows, scale and pending steps by parameter. check: if gradients have
// an entry that is not finite nothing is changed, and the last of them is returned; otherwise -1. later: the parameter whose
// update may go on, if it takes long, until what is returned beside has finished; or -1. after: what computes gradients, or
// null: it is finished when all else is ready.
template <class T>
nb::tuple update(int rule, std::vector<Changed<T>> values, std::vector<std::vector<Changed<T>>> states,
                 std::vector<nb::ndarray<const T, nb::device::cpu>> gradients, std::vector<std::optional<Ids>> rows,
                 double rate, double decay, std::vector<double> scales, std::vector<double> constants,
                 std::vector<std::optional<Pending<T>>> pending, bool check, int later, Later *after) {
  const size_t n = values.size();
  require(states.size() == n && gradients.size() == n && rows.size() == n && scales.size() == n && pending.size() == n,
          "lists differ in length");
  require(later >= -1 && later < int(n), "later: a parameter, or -1");
  std::vector<UpdateArgs<T>> all;
  std::vector<std::vector<int32_t>> slots(n);
  std::unique_ptr<Work> apart;
  for (size_t p = 0; p < n; p++) {
    UpdateArgs<T> args = rule_args<T>(rule, values[p], states[p], constants);
    args.rate = T(rate), args.decay = T(decay), args.scale = T(scales[p]);
    take_gradient(args, values[p], gradients[p], rows[p], slots[p]);
    if (pending[p]) {
      require(rows[p].has_value() && decay == 0, "pending steps are for gradients of rows, without decay");
      take_pending(args, *pending[p], rows[p]);
      require(size_t(args.steps) < std::get<1>(*pending[p]).size(), "no room for one more rate");
    }
    if (values[p].size() == 0) continue;
    if (int(p) == later) apart.reset(optimizers<T>().update_later(args));
    if (int(p) != later || !apart) all.push_back(args);
  }
  std::any kept;
  if (apart)
    kept = std::make_tuple(values[later], states[later], gradients[later], rows[later], pending[later], std::move(slots[later]));
  Later goes_on(apart.release(), std::move(kept));
  if (after) after->finish();
  std::vector<int> first_task(n + 1);
  int bad = -1;
  {
    nb::gil_scoped_release release;
    for (size_t p = n; check && bad < 0 && p-- > 0;) {
      if (values[p].size() == 0) continue;
      const bool whole = !rows[p];
      const size_t columns = whole ? values[p].size() : gradients[p].shape(1), count = whole ? 1 : rows[p]->size();
      if (!optimizers<T>().finite(gradients[p].data(), count, columns, whole ? columns : size_t(gradients[p].stride(0))))
        bad = int(p);
    }
    if (bad < 0) {
      optimizers<T>().update(all.data(), int(all.size()), first_task.data());
      if (goes_on) goes_on.start();
      for (const auto &steps : pending)
        if (steps) std::get<1>(*steps).data()[std::get<2>(*steps).data()[0]++] = T(rate);
    }
  }
  return nb::make_tuple(bad, bad < 0 ? goes_on.give() : nb::none());
}

// The first of these arrays (rows contiguous) that has an entry which is not finite, or -1.
using AnyFloats = nb::ndarray<nb::ro, nb::device::cpu>;
template <class T> bool finite(const AnyFloats &array) {
  const size_t last = array.ndim() ? array.ndim() - 1 : 0, columns = array.ndim() ? array.shape(last) : 1;
  if (array.size() == 0) return true;
  require(array.ndim() == 0 || columns == 1 || array.stride(last) == 1, "rows must be contiguous");
  const size_t rows = array.size() / columns, ld = rows == 1 ? columns : size_t(array.stride(last - 1));
  for (size_t axis = 0; axis + 1 < last; axis++)
    require(array.stride(axis) == array.stride(axis + 1) * int64_t(array.shape(axis + 1)), "rows must be evenly spaced");
  require(rows == 1 || array.stride(last - 1) >= 0, "rows must go forward");
  const T *data = static_cast<const T *>(array.data());
  require(reinterpret_cast<uintptr_t>(data) % alignof(T) == 0, "arrays must be aligned");
  nb::gil_scoped_release release;
  return optimizers<T>().finite(data, rows, columns, ld);
}
int first_not_finite(std::vector<AnyFloats> arrays) {
  for (size_t i = 0; i < arrays.size(); i++) {
    const bool f = arrays[i].dtype() == nb::dtype<float>(), d = arrays[i].dtype() == nb::dtype<double>();
    require(f || d, "float32 or float64");
    if (!(f ? finite<float>(arrays[i]) : finite<double>(arrays[i]))) return int(i);
  }
  return -1;
}

// Whether all entries lie in [low, high]; NaN does not.
template <class T> bool all_within(nb::ndarray<const T, nb::c_contig, nb::device::cpu> array, double low, double high) {
  require_aligned(array);
  bool all = true;
  for (size_t i = 0; i < array.size(); i++) all &= array.data()[i] >= low && array.data()[i] <= high;
  return all;
}

template <class T> void bind(nb::module_ &m) {
  m.def("all_within", &all_within<T>, "array"_a.noconvert(), "low"_a, "high"_a);
  m.def("update", &update<T>, "rule"_a, "values"_a.noconvert(), "states"_a.noconvert(), "gradients"_a.noconvert(),
        "rows"_a.noconvert(), "rate"_a, "decay"_a, "scales"_a, "constants"_a, "pending"_a,
        "check"_a = false, "later"_a = -1, "after"_a.none() = nb::none());
  m.def("catch_up", &catch_up<T>, "rule"_a, "value"_a.noconvert(), "state"_a.noconvert(), "pending"_a,
        "constants"_a, "rows"_a.noconvert().none());
}

}  // namespace

void bind_optimizers(nb::module_ &m) {
  m.def("rules", [] {
    nb::list all;
    for (const RuleInfo &rule : rules) all.append(nb::make_tuple(rule.name, rule.slots, rule.waits));
    return all;
  }, "(name, state arrays, whether rows without gradient may wait) of every optimizer rule, in the order of their numbers.");
  m.def("first_not_finite", &first_not_finite, "arrays"_a.noconvert());
  bind<float>(m);
  bind<double>(m);
}

}  // namespace unrolled
