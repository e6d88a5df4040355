#pragma once
// EnvironmentFacts: of the variables around a process those that explain a run, and the container
// that it is in.
//
// Plain functions that read the environment and some small files; not to be called while another
// thread changes the environment.

#include <string>
#include <string_view>

#include "record/process_facts.h"

namespace ringlog::client {

// Variables of the allow list, in order of their names: launchers and schedulers (RANK, SLURM_*,
// OMPI_*, …), which processors and libraries are used (CUDA_*, NCCL_*, OMP_*, …), Python's and
// Conda's environment.  Never one whose name sounds like a secret; URLs without credentials; values
// are cut at 1 KiB, the list at 256.
record::NamedTexts environment_facts();

// `kind` (docker, podman, kubernetes, apptainer, …), `id`, `image`, `pod` as far as they are
// known; empty: none.  `root`: of the file system, "" but in tests.
record::NamedTexts container_facts(const std::string& root);

}  // namespace ringlog::client
