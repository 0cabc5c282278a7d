// bind_recurrent.cpp: a pass of a recurrent layer: plan, project, forward, backward, project_backward.
#include "bindings.h"
#include "head.h"

namespace unrolled {
namespace {

Plan plan_of(Ids index, Mask mask, Ids lead, int values, bool reverse, bool row_states) {
  require(index.ndim() == 2 && lead.ndim() == 1 && lead.shape(0) == index.shape(0), "index (B, T), lead (B,)");
  const uint8_t *kept = check_mask(mask, index);
  require(index.shape(0) < most && index.shape(1) < most && index.size() + index.shape(0) < most,
          "a batch has fewer than 2^31 - 2^16 steps");
  require(values >= 0 && size_t(values) < most, "values: 0 to 2^31 - 2^16");
  require_aligned(index, lead);
  if (!all_below(index.data(), index.size(), values)) throw nb::index_error("index outside the table");
  nb::gil_scoped_release release;
  return make_plan(index.data(), kept, lead.data(), int(index.shape(0)), int(index.shape(1)), values, reverse, row_states);
}

// Masks (B, M, D), M = 1 or G, and the row of the batch of each of n values.
template <class T>
InputDropout<T> input_dropout(const Maybe<T> &masks, const std::optional<Ids> &owner, size_t n, int G, int D) {
  require(bool(masks) == bool(owner), "drop and owner, or neither");
  if (!masks) return {1, nullptr, nullptr};
  require(masks->ndim() == 3 && (masks->shape(1) == 1 || masks->shape(1) == size_t(G)) && masks->shape(2) == size_t(D),
          "drop (B, 1 or G, D)");
  require(owner->size() == n, "owner (n,)");
  require_aligned(masks, owner);
  if (!all_below(owner->data(), n, masks->shape(0))) throw nb::index_error("owner outside the batch");
  return {int(masks->shape(1)), masks->data(), owner->data()};
}

struct Wanted {
  bool kernel, bias, values;
};
// What a layer's input is projected from, checked.
template <class T> struct InputSide {
  const CellInfo &info;
  CellKind cell;
  Matrix<T> table;
  std::optional<Ids> rows;
  Packed<T> kernel;
  int H, D, n;
  InputDropout<T> dropout;

  InputSide(int number, const Matrix<T> &table, const std::optional<Ids> &rows, const Packed<T> &kernel, const Maybe<T> &drop,
            const std::optional<Ids> &owner)
      : info(cell_info(number)), cell(CellKind(number)), table(table), rows(rows), kernel(kernel) {
    require(table.shape(1) > 0 && rows_contiguous(table), "table (V, D), rows contiguous");
    require(kernel.ndim() == 2 && kernel.shape(0) == table.shape(1) && kernel.shape(1) > 0 &&
            kernel.shape(1) % info.gates == 0 && kernel.shape(1) / info.gates < most / 64, "kernel (D, G*H)");
    require_aligned(table, rows, kernel);
    H = int(kernel.shape(1) / info.gates), D = int(kernel.shape(0)), n = int(count_rows<T>(table, rows));
    dropout = input_dropout<T>(drop, owner, n, info.gates, D);
  }
  const int32_t *rows_or_null() const { return rows ? rows->data() : nullptr; }

  // d_kernel, d_bias, d_values, and the work that fills them, or None: they are there. d_recurrent_bias becomes the second row
  // of d_bias, of a cell that has it. kept: what stash, first_row and frequent stand in.
  nb::tuple back(Plan &plan, const T *stash, const int32_t *first_row, const T *frequent, const T *d_recurrent_bias,
                 Wanted want, bool later, std::any kept) const {
    const int Dp = padded(D, kernels<T>().lanes);
    const size_t columns = size_t(info.gates) * H;
    New<T> d_kernel(want.kernel ? D : 0, columns), d_bias(want.bias ? info.biases : 0, columns);
    New<T> d_values(want.values ? n : 0, Dp);
    if (want.bias && info.biases == 2) std::copy_n(d_recurrent_bias, columns, d_bias.data + columns);
    const ProjectBackwardArgs<T> args{cell, H, D, plan.view(), table.data(), size_t(table.stride(0)),
                                      rows_or_null(), kernel.data(), dropout, stash, first_row, nullptr,
                                      frequent, want.kernel ? d_kernel.data : nullptr, want.bias ? d_bias.data : nullptr,
                                      want.values ? d_values.data : nullptr, size_t(Dp)};
    const nb::object kernel_out = d_kernel.give(), bias_out = d_bias.give(), values_out = d_values.give(d_values.rows, D);
    Later goes_on(later ? kernels<T>().project_backward_later(args) : nullptr,
                  std::make_tuple(nb::find(plan), *this, std::move(kept), kernel_out, bias_out, values_out));
    {
      nb::gil_scoped_release release;
      goes_on ? goes_on.start() : kernels<T>().project_backward(args);
    }
    return nb::make_tuple(kernel_out, bias_out, values_out, goes_on.give());
  }
};

// z, and the work that fills it, or None: it is there.
template <class T>
nb::tuple project(int cell, int units, Matrix<T> table, std::optional<Ids> rows, Packed<T> kernel, Maybe<T> bias,
                  Maybe<T> drop, std::optional<Ids> owner, bool later) {
  const InputSide<T> input(cell, table, rows, kernel, drop, owner);
  const int G = input.info.gates, H = input.H;
  require(H == units, "kernel (D, G*units)");
  require_aligned(bias);
  if (bias) require(bias->size() == size_t(G) * H, "bias (G*H,)");
  New<T> z(input.n, size_t(G) * padded(H, kernels<T>().lanes));
  const ProjectArgs<T> args{input.cell, H, input.D, input.n, table.data(), size_t(table.stride(0)), input.rows_or_null(),
                            kernel.data(), data_or_null(bias), input.dropout, z.data};
  const nb::object out = z.give();
  Later goes_on(later ? kernels<T>().project_later(args) : nullptr, std::make_tuple(input, bias, out));
  {
    nb::gil_scoped_release release;
    goes_on ? goes_on.start() : kernels<T>().project(args);
  }
  return nb::make_tuple(out, goes_on.give());
}

template <class T> void check_drop(const Maybe<T> &drop, const Plan &plan, const CellInfo &info, int H) {
  if (!drop) return;
  require(drop->ndim() == 3 && drop->shape(0) == size_t(plan.batch) && drop->shape(1) == size_t(info.gates) &&
          drop->shape(2) == size_t(H), "drop (B, G, H)");
  require(plan.prefix == 0, "under recurrent dropout rows share no prefix");
}

// What a pass forward keeps for the way back: nothing; states and stash of all steps; or of the shared prefix alone, where the
// way back follows in the same call and the kernels themselves keep what it reads of the rows' own steps.
enum class Keep { nothing, all, prefix };

// A pass forward: its arguments, checked, and the arrays that it fills.
template <class T> struct PassForward {
  const CellInfo &info;
  const int H, Hp;
  const bool has_c, keep_h;
  const size_t kept, own;  // state rows that are kept anyway, and those that are kept of the rows' own steps
  New<T> h, c, stash, last, final_h, final_c;
  ForwardArgs<T> args;

  PassForward(int cell, int activation, int recurrent_activation, const Plan &plan, const Packed<T> &z,
              const Packed<T> &recurrent_kernel, const Maybe<T> &recurrent_bias, const Maybe<T> &h0, const Maybe<T> &c0,
              const Maybe<T> &drop, Keep keep, bool sequences)
      : info(cell_info(cell)), H(units_of(recurrent_kernel, info)), Hp(padded(H, kernels<T>().lanes)),
        has_c(info.states == 2), keep_h(keep == Keep::all || sequences), kept(1 + size_t(plan.prefix) + plan.initial),
        own(keep == Keep::all ? plan.own : 0), h((keep_h ? plan.own : 0) + kept, Hp), c(has_c ? own + kept : 0, Hp),
        stash(keep == Keep::nothing ? 0 : plan.prefix + own, size_t(info.slots) * Hp), last(plan.batch, H),
        final_h(plan.batch, H), final_c(has_c ? plan.batch : 0, H) {
    const Activation a = activation_of(activation), ra = activation_of(recurrent_activation);
    require_aligned(z, recurrent_kernel, recurrent_bias, h0, c0, drop);
    require(z.ndim() == 2 && z.shape(0) == size_t(plan.values) && z.shape(1) == size_t(info.gates) * Hp, "z (n, G*Hp)");
    if (recurrent_bias)
      require(info.biases == 2 && recurrent_bias->size() == size_t(info.gates) * H, "recurrent_bias (G*H,)");
    check_shape<T>(h0, plan.initial, H, "h0 (S, H)");
    check_shape<T>(c0, plan.initial, H, "c0 (S, H)");
    check_drop<T>(drop, plan, info, H);
    args = {CellKind(cell), a, ra, H, plan.view(), z.data(), recurrent_kernel.data(), data_or_null(recurrent_bias),
            data_or_null(h0), data_or_null(c0), data_or_null(drop), h.data, has_c ? c.data : nullptr,
            keep == Keep::nothing ? nullptr : stash.data, keep_h, keep == Keep::all, final_h.data,
            has_c ? final_c.data : nullptr, last.data};
  }
  nb::tuple give() {
    return nb::make_tuple(h.give(), c.give(), stash.give(), last.give(), final_h.give(), final_c.give());
  }
};

template <class T>
nb::tuple forward(int cell, int activation, int recurrent_activation, const Plan &plan, Packed<T> z,
                  Packed<T> recurrent_kernel, Maybe<T> recurrent_bias, Maybe<T> h0, Maybe<T> c0, Maybe<T> drop,
                  bool keep, bool sequences) {
  PassForward<T> pass(cell, activation, recurrent_activation, plan, z, recurrent_kernel, recurrent_bias, h0, c0, drop,
                      keep ? Keep::all : Keep::nothing, sequences);
  {
    nb::gil_scoped_release release;
    kernels<T>().forward(pass.args);
  }
  return pass.give();
}

// What a way back reads of the pass forward; the other arguments are null.
template <class T>
BackwardArgs<T> way_back(CellKind cell, Activation activation, Activation recurrent_activation, int H,
                         const T *recurrent_kernel, const T *drop, const T *h, const T *c, T *stash) {
  BackwardArgs<T> args{};
  args.cell = cell, args.activation = activation, args.recurrent_activation = recurrent_activation, args.H = H;
  args.recurrent_kernel = recurrent_kernel, args.drop = drop, args.h = h, args.c = c, args.stash = stash;
  return args;
}

// A way back: its arguments, and the gradients that it fills.
template <class T> struct WayBack {
  const bool has_c;
  const size_t positions;
  New<T> d_kernel, d_bias, d_h0, d_c0, d_h, d_c, frequent;
  BackwardArgs<T> args;

  // given: all that the way back reads.
  WayBack(const BackwardArgs<T> &given, const CellInfo &info, Plan &plan, bool every_state, bool gathers = false)
      : has_c(info.states == 2), positions(size_t(plan.prefix) + plan.own), d_kernel(given.H, size_t(info.gates) * given.H),
        d_bias(info.biases == 2 ? 1 : 0, size_t(info.gates) * given.H), d_h0(plan.initial, given.H),
        d_c0(has_c ? plan.initial : 0, given.H), d_h(every_state ? 1 + positions : 0, padded(given.H, kernels<T>().lanes)),
        d_c(has_c ? d_h.rows : 0, d_h.columns),
        frequent(gathers ? 0 : frequent_sums(info, plan, given.H), info.gates * d_h.columns),
        args(given) {
    args.plan = plan.view();  // with the positions counted
    if (every_state) std::fill_n(d_h.data, d_h.columns, T(0));  // the blank row: no step writes it
    if (every_state && has_c) std::fill_n(d_c.data, d_c.columns, T(0));
    args.d_recurrent_kernel = d_kernel.data, args.d_recurrent_bias = info.biases == 2 ? d_bias.data : nullptr;
    args.d_h0 = d_h0.data, args.d_c0 = has_c ? d_c0.data : nullptr;
    args.d_h = every_state ? d_h.data : nullptr, args.d_c = every_state && has_c ? d_c.data : nullptr;
    args.frequent = frequent.rows ? frequent.data : nullptr;
    args.meanwhile = [](void *p) { static_cast<Plan *>(p)->sort_positions(); }, args.context = &plan;
  }

 private:
  static size_t frequent_sums(const CellInfo &info, Plan &plan, int H) {
    plan.count_positions();
    return info.gates * padded(H, kernels<T>().lanes) <= most_frequent_columns ? plan.frequent_values : 0;
  }
};

template <class T>
nb::tuple backward(int cell, int activation, int recurrent_activation, Plan &plan, Packed<T> recurrent_kernel,
                   Maybe<T> drop, Packed<T> h, Packed<T> c, nb::ndarray<T, nb::c_contig, nb::device::cpu> stash,
                   std::optional<Matrix<T>> d_outputs, Maybe<T> d_last, Maybe<T> d_final_h, Maybe<T> d_final_c,
                   bool every_state) {
  const CellInfo &info = cell_info(cell);
  const Activation a = activation_of(activation), ra = activation_of(recurrent_activation);
  require_aligned(recurrent_kernel, drop, h, c, stash, d_outputs, d_last, d_final_h, d_final_c);
  const int H = units_of(recurrent_kernel, info), Hp = padded(H, kernels<T>().lanes);
  const bool has_c = info.states == 2;
  const size_t positions = size_t(plan.prefix) + plan.own, rows = 1 + positions + plan.initial;
  check_drop<T>(drop, plan, info, H);
  require(h.ndim() == 2 && h.shape(0) == rows && h.shape(1) == size_t(Hp), "h (state rows, Hp)");
  if (has_c) require(c.ndim() == 2 && c.shape(0) == rows && c.shape(1) == size_t(Hp), "c (state rows, Hp)");
  require(stash.ndim() == 2 && stash.shape(0) == positions && stash.shape(1) == size_t(info.slots) * Hp,
          "stash (P+N, slots*Hp)");
  if (d_outputs)
    require(d_outputs->shape(0) >= 1 + positions && d_outputs->shape(1) == size_t(H) && rows_contiguous(*d_outputs),
            "d_outputs (1+P+N, H), rows contiguous");
  check_shape<T>(d_last, plan.batch, H, "d_last (B, H)");
  check_shape<T>(d_final_h, plan.batch, H, "d_final_h (B, H)");
  check_shape<T>(d_final_c, plan.batch, H, "d_final_c (B, H)");
  BackwardArgs<T> given = way_back<T>(CellKind(cell), a, ra, H, recurrent_kernel.data(), data_or_null(drop), h.data(),
                                      has_c ? c.data() : nullptr, stash.data());
  if (d_outputs) given.d_outputs = d_outputs->data(), given.d_ld = size_t(d_outputs->stride(0));
  given.d_last = data_or_null(d_last), given.d_final_h = data_or_null(d_final_h), given.d_final_c = data_or_null(d_final_c);
  WayBack<T> back(given, info, plan, every_state);
  {
    nb::gil_scoped_release release;
    kernels<T>().backward(back.args);
  }
  return nb::make_tuple(back.d_kernel.give(), back.d_bias.give(), back.frequent.give(), back.d_h0.give(), back.d_c0.give(),
                        back.d_h.give(), back.d_c.give());
}

// Forward, a dense layer with its cross-entropy on top, and back, also through W. What nobody asks for stays here: an array
// costs Python microseconds. want_states: the rows' final states. later: see InputSide::back.
template <class T>
nb::tuple forward_and_back(int cell, int activation, int recurrent_activation, Plan &plan, Packed<T> z,
                           Packed<T> recurrent_kernel, Maybe<T> recurrent_bias, Maybe<T> h0, Maybe<T> c0, Maybe<T> drop,
                           Packed<T> kernel, Maybe<T> bias, Packed<T> labels, bool softmax, Maybe<T> weights, double weight,
                           bool want_kernel, bool want_states, Matrix<T> table, std::optional<Ids> rows,
                           Packed<T> input_kernel, Maybe<T> input_drop, std::optional<Ids> owner, bool want_input_kernel,
                           bool want_input_bias, bool want_values, bool later) {
  const InputSide<T> input(cell, table, rows, input_kernel, input_drop, owner);
  require(input.n == plan.values, "rows (n,)");
  const CellInfo &info = input.info;
  const size_t H = units_of(recurrent_kernel, info), B = plan.batch;
  require(size_t(input.H) == H, "input_kernel (D, G*H)");
  const bool gathers = !drop && kernel_is_near<T>(H, info.gates) &&
                       info.gates * padded(int(H), kernels<T>().lanes) <= most_frequent_columns;
  PassForward<T> pass(cell, activation, recurrent_activation, plan, z, recurrent_kernel, recurrent_bias, h0, c0, drop,
                      gathers ? Keep::prefix : Keep::all, false);
  require_aligned(kernel, bias, labels, weights);
  require(kernel.ndim() == 2 && kernel.shape(0) == H && kernel.shape(1) > 0 && kernel.shape(1) < most / 64, "kernel (H, K)");
  const size_t K = kernel.shape(1);
  if (bias) require(bias->size() == K, "bias (K,)");
  require(labels.ndim() == 2 && labels.shape(0) == B && labels.shape(1) == K, "labels (B, K)");
  if (weights) require(weights->ndim() == 1 && weights->size() == B, "weights (B,)");
  New<T> logits(B, K), values(1, B), d_logits(B, K), d_last(B, H);
  New<T> d_kernel(want_kernel ? H : 0, K), d_bias(1, want_kernel ? K : 0);
  struct Top {
    Head<T> head;
    Plan &plan;
    bool sorts;
    T *d_kernel, *d_bias;  // or null
  } top{{int(H), int(K), softmax, kernel.data(), data_or_null(bias), labels.data(), data_or_null(weights), weight,
         pass.last.data, logits.data, values.data, d_logits.data, d_last.data},
        plan, !gathers, want_kernel ? d_kernel.data : nullptr, want_kernel ? d_bias.data : nullptr};
  const ForwardArgs<T> &f = pass.args;
  BackwardArgs<T> given = way_back<T>(f.cell, f.activation, f.recurrent_activation, f.H, f.recurrent_kernel, f.drop, f.h, f.c,
                                      f.stash);
  given.d_last = d_last.data;
  WayBack<T> back(given, pass.info, plan, false, gathers);
  const size_t positions = gathers ? back.positions : 0, distinct = gathers ? plan.values : 0;
  New<T> gathered(positions, size_t(info.gates) * pass.Hp);
  New<int32_t> first_row(1, distinct + 1), place(1, positions), next(1, distinct);
  if (gathers) back.args.gathered = {gathered.data, first_row.data, place.data, next.data};
  back.args.meanwhile = [](void *p) {
    const Top &top = *static_cast<Top *>(p);
    if (top.sorts) top.plan.sort_positions();
    if (top.d_kernel) top.head.kernel_gradient(top.plan.batch, top.d_kernel, top.d_bias);
  };
  back.args.context = &top;
  {
    nb::gil_scoped_release release;
    kernels<T>().both(pass.args, back.args,
                      {[](void *p, const int32_t *rows, int n) { static_cast<Top *>(p)->head.run(rows, n); }, &top});
  }
  const T *stash = gathers ? gathered.data : pass.stash.data, *sums = back.frequent.rows ? back.frequent.data : nullptr;
  const int32_t *first = gathers ? first_row.data : nullptr;
  std::any kept = std::make_tuple(gathers ? gathered.give() : pass.stash.give(), first_row.give(), back.frequent.give());
  const nb::tuple of_input = input.back(plan, stash, first, sums, back.d_bias.data, {want_input_kernel, want_input_bias, want_values},
                                        later, std::move(kept));
  const nb::object states = want_states ? nb::object(nb::make_tuple(pass.final_h.give(), pass.final_c.give())) : nb::none();
  return nb::make_tuple(top.head.loss(int(B)), logits.give(), states, d_kernel.give(), d_bias.give_flat(),
                        back.d_kernel.give(), of_input[0], of_input[1], of_input[2], of_input[3]);
}

template <class T>
nb::tuple project_backward(int cell, Plan &plan, Matrix<T> table, std::optional<Ids> rows, Packed<T> kernel,
                           Maybe<T> drop, std::optional<Ids> owner, Packed<T> stash, Packed<T> frequent,
                           Packed<T> d_recurrent_bias, bool want_kernel, bool want_bias, bool want_values) {
  const InputSide<T> input(cell, table, rows, kernel, drop, owner);
  require(input.n == plan.values, "rows (n,)");
  const int Hp = padded(input.H, kernels<T>().lanes), G = input.info.gates;
  require_aligned(stash, frequent, d_recurrent_bias);
  require(stash.ndim() == 2 && stash.shape(0) == size_t(plan.prefix) + plan.own &&
          stash.shape(1) == size_t(input.info.slots) * Hp, "stash (P+N, slots*Hp)");
  plan.count_positions();
  require(frequent.size() == 0 || (frequent.ndim() == 2 && frequent.shape(0) == size_t(plan.frequent_values) &&
          frequent.shape(1) == size_t(G) * Hp), "frequent (K, G*Hp), as backward gave it");
  require(d_recurrent_bias.size() == (input.info.biases == 2 ? size_t(G) * input.H : 0),
          "d_recurrent_bias, as backward gave it");
  {
    nb::gil_scoped_release release;
    plan.sort_positions();
  }
  return input.back(plan, stash.data(), nullptr, frequent.size() ? frequent.data() : nullptr, d_recurrent_bias.data(),
                    {want_kernel, want_bias, want_values}, false, {});
}

template <class T> void bind(nb::module_ &m) {
  m.def("project", &project<T>, "cell"_a, "units"_a, "table"_a.noconvert(), "rows"_a.noconvert().none(),
        "kernel"_a.noconvert(), "bias"_a.noconvert().none(), "drop"_a.noconvert().none() = nb::none(),
        "owner"_a.noconvert().none() = nb::none(), "later"_a = false);
  m.def("forward", &forward<T>, "cell"_a, "activation"_a, "recurrent_activation"_a, "plan"_a, "z"_a.noconvert(),
        "recurrent_kernel"_a.noconvert(), "recurrent_bias"_a.noconvert().none(), "h0"_a.noconvert().none(),
        "c0"_a.noconvert().none(), "drop"_a.noconvert().none(), "keep"_a, "sequences"_a);
  m.def("backward", &backward<T>, "cell"_a, "activation"_a, "recurrent_activation"_a, "plan"_a,
        "recurrent_kernel"_a.noconvert(), "drop"_a.noconvert().none(), "h"_a.noconvert(), "c"_a.noconvert(),
        "stash"_a.noconvert(), "d_outputs"_a.noconvert().none(), "d_last"_a.noconvert().none(), "d_final_h"_a.noconvert().none(),
        "d_final_c"_a.noconvert().none(), "every_state"_a = false);
  m.def("forward_and_back", &forward_and_back<T>, "cell"_a, "activation"_a, "recurrent_activation"_a, "plan"_a,
        "z"_a.noconvert(), "recurrent_kernel"_a.noconvert(), "recurrent_bias"_a.noconvert().none(),
        "h0"_a.noconvert().none(), "c0"_a.noconvert().none(), "drop"_a.noconvert().none(), "kernel"_a.noconvert(),
        "bias"_a.noconvert().none(), "labels"_a.noconvert(), "softmax"_a, "weights"_a.noconvert().none(), "weight"_a,
        "want_kernel"_a, "want_states"_a, "table"_a.noconvert(), "rows"_a.noconvert().none(), "input_kernel"_a.noconvert(),
        "input_drop"_a.noconvert().none(), "owner"_a.noconvert().none(), "want_input_kernel"_a, "want_input_bias"_a,
        "want_values"_a, "later"_a);
  m.def("project_backward", &project_backward<T>, "cell"_a, "plan"_a, "table"_a.noconvert(),
        "rows"_a.noconvert().none(), "kernel"_a.noconvert(), "drop"_a.noconvert().none(), "owner"_a.noconvert().none(),
        "stash"_a.noconvert(), "frequent"_a.noconvert(), "d_recurrent_bias"_a.noconvert(), "want_kernel"_a, "want_bias"_a,
        "want_values"_a);
}

}  // namespace

void bind_recurrent(nb::module_ &m) {
  nb::class_<Plan>(m, "Plan")
      .def_ro("batch", &Plan::batch)
      .def_ro("steps", &Plan::steps)
      .def_ro("values", &Plan::values)
      .def_ro("prefix", &Plan::prefix)
      .def_ro("own", &Plan::own)
      .def_ro("initial", &Plan::initial)
      .def_ro("reverse", &Plan::reverse)
      .def_prop_ro("row_steps", [](const Plan &p) { return p.prefix + p.own; })
      .def("order", [](const Plan &p) { return array_of(p.order); })
      .def("value", [](const Plan &p) { return array_of(p.value); })
      .def("previous", [](const Plan &p) { return array_of(p.previous); })
      .def("final_row", [](const Plan &p) { return array_of(p.final_row); })
      .def("last_row", [](const Plan &p) { return array_of(p.last_row); })
      .def("shared", [](const Plan &p) { return array_of(p.shared); })
      .def("out_index", [](const Plan &p) {
        return numpy_array(kept(p.out_index()), p.batch, p.steps, p.steps);
      });
  m.def("plan", &plan_of, "index"_a.noconvert(), "mask"_a.noconvert().none(), "lead"_a.noconvert(), "values"_a,
        "reverse"_a, "row_states"_a);
  bind<float>(m);
  bind<double>(m);
}

}  // namespace unrolled
