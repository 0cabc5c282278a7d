// module.cpp: the Python module: picks the instruction set, and binds what the bind_*.cpp files have. They check shapes and
// dtypes, allocate results, release the GIL and call the kernels; nothing else of native/ knows Python.
#include <cstdlib>

#include "bindings.h"

#define DECLARE_LEVEL(level)                                   \
  namespace level {                                            \
  extern const unrolled::Kernels<float> kernels_float;         \
  extern const unrolled::Kernels<double> kernels_double;       \
  extern const unrolled::Optimizers<float> optimizers_float;   \
  extern const unrolled::Optimizers<double> optimizers_double; \
  }
DECLARE_LEVEL(baseline)
#ifdef UNROLLED_HAS_avx2
DECLARE_LEVEL(avx2)
#endif
#ifdef UNROLLED_HAS_avx512
DECLARE_LEVEL(avx512)
#endif

namespace unrolled {

const Level *level = nullptr;

namespace {

const Level all_levels[] = {
#ifdef UNROLLED_HAS_avx512
    {"avx512",
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
              __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("bmi2");
     },
     &avx512::kernels_float, &avx512::kernels_double, &avx512::optimizers_float, &avx512::optimizers_double},
#endif
#ifdef UNROLLED_HAS_avx2
    {"avx2",
     [] {
       return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
              __builtin_cpu_supports("bmi2");
     },
     &avx2::kernels_float, &avx2::kernels_double, &avx2::optimizers_float, &avx2::optimizers_double},
#endif
    {"baseline", [] { return true; },
     &baseline::kernels_float, &baseline::kernels_double, &baseline::optimizers_float, &baseline::optimizers_double},
};

std::vector<std::string> levels() {
  std::vector<std::string> names;
  for (const Level &l : all_levels)
    if (l.runs_here()) names.push_back(l.name);
  return names;
}

void set_level(const std::string &name) {
  for (const Level &l : all_levels)
    if (l.runs_here() && name == l.name) {
      level = &l;
      return;
    }
  std::string known;
  for (const auto &l : levels()) known += (known.empty() ? "" : ", ") + l;
  throw nb::value_error(("UNROLLED_SIMD: this machine and build have the levels " + known + ", got \"" + name + "\"").c_str());
}

}  // namespace
}  // namespace unrolled

using namespace unrolled;

NB_MODULE(_native, m) {
  import_numpy();
  nb::set_leak_warnings(false);  // a model that lives until the interpreter ends may have work that goes on
  const char *forced = std::getenv("UNROLLED_SIMD");
  set_level(forced && *forced ? forced : levels().front());
  m.def("levels", &levels, "Instruction sets that this machine and build have, best first.");
  m.def("level", [] { return level->name; });
  m.def("set_level", &set_level, "name"_a);
  m.def("lanes", [](bool wide) { return wide ? level->d->lanes : level->f->lanes; }, "float64"_a);
  m.def("set_threads", &set_threads, "n"_a);
  m.def("get_threads", &get_threads);
  m.def("drop_buffers", &drop_buffers);
  m.def("cells", [] {
    nb::list all;
    for (const CellInfo &c : cells) all.append(nb::make_tuple(c.name, c.gates, c.slots, c.states, c.biases));
    return all;
  }, "(name, gates, slots, states, rows of bias) of every cell, in the order of their numbers.");
  nb::class_<Later>(m, "Later", "Work that goes on after the call that began it.")
      .def("finish", &Later::finish, "Returns when it has ended and its results are there.");
  bind_recurrent(m);
  bind_layers(m);
  bind_optimizers(m);
}
