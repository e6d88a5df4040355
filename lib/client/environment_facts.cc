#include "client/environment_facts.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "client/redact.h"
#include "shm/posix.h"

extern char** environ;

namespace ringlog::client {

namespace {

constexpr size_t kValueMax = 1024;
constexpr size_t kVariablesMax = 256;
constexpr size_t kFileMax = size_t{64} << 10;

// Whole names, and prefixes with a "*".
constexpr std::string_view kAllowed[] = {"BLIS_*",
                                         "CONDA_DEFAULT_ENV",
                                         "CONTAINER_IMAGE",
                                         "CUBLAS_*",
                                         "CUDA_*",
                                         "CUDNN_*",
                                         "FI_*",
                                         "GLIBC_TUNABLES",
                                         "GOMP_*",
                                         "GPU_DEVICE_ORDINAL",
                                         "GROUP_*",
                                         "HIP_*",
                                         "HOSTNAME",
                                         "HSA_*",
                                         "IMAGE_NAME",
                                         "JAX_*",
                                         "KMP_*",
                                         "LANG",
                                         "LC_ALL",
                                         "LD_LIBRARY_PATH",
                                         "LD_PRELOAD",
                                         "LOCAL_*",
                                         "MALLOC_*",
                                         "MASTER_ADDR",
                                         "MASTER_PORT",
                                         "MKL_*",
                                         "NCCL_*",
                                         "NODE_NAME",
                                         "NODE_RANK",
                                         "NUMEXPR_*",
                                         "NVIDIA_*",
                                         "NVTE_*",
                                         "OMPI_*",
                                         "OMP_*",
                                         "OPENBLAS_*",
                                         "PBS_*",
                                         "PMIX_*",
                                         "PMI_*",
                                         "POD_NAME",
                                         "POD_NAMESPACE",
                                         "PYTHONHASHSEED",
                                         "PYTHONPATH",
                                         "PYTORCH_*",
                                         "RANK",
                                         "RAY_*",
                                         "RCCL_*",
                                         "ROCR_*",
                                         "ROLE_*",
                                         "SLURM*",
                                         "TF_CPP_*",
                                         "TF_GPU_*",
                                         "TF_XLA_*",
                                         "TORCHELASTIC_*",
                                         "TORCH_*",
                                         "TRANSFORMERS_*",
                                         "TZ",
                                         "UCX_*",
                                         "VIRTUAL_ENV",
                                         "WORLD_SIZE",
                                         "XLA_*"};

bool is_allowed(std::string_view name) {
  const auto matches = [&](std::string_view pattern) {
    if (!pattern.ends_with('*')) return name == pattern;
    return name.starts_with(pattern.substr(0, pattern.size() - 1));
  };
  // PMI's and Open MPI's keys of a job are passwords between its processes; one is named so that
  // nobody sees it.
  return std::any_of(std::begin(kAllowed), std::end(kAllowed), matches) && !is_secret_name(name) &&
         name.find("precondition_transports") == std::string_view::npos;
}

// As it may be kept: valid text without credentials.
std::string safe_variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : as_utf8(without_credentials(value), kValueMax);
}

std::string read_text(const std::string& path) {
  auto text = shm::read_file(path, kFileMax);
  return text ? *text : "";
}

// The 64 hexadecimal digits by which container engines name a container; "": none in `text`.
std::string container_id(std::string_view text) {
  constexpr size_t kSize = 64;
  for (size_t begin = 0; begin + kSize <= text.size();) {
    const size_t end = std::min(text.find_first_not_of("0123456789abcdef", begin), text.size());
    if (end - begin == kSize) return std::string(text.substr(begin, kSize));
    begin = end + 1;
  }
  return "";
}

// `name="value"` of podman's description.
std::string quoted(std::string_view text, const std::string& name) {
  const size_t at = text.find(name + "=\"");
  if (at == std::string_view::npos) return "";
  const size_t begin = at + name.size() + 2;
  return as_utf8(text.substr(begin, text.find('"', begin) - begin), kValueMax);
}

void add(record::NamedTexts& facts, const char* name, const std::string& value) {
  if (!value.empty()) facts.emplace_back(name, value);
}

}  // namespace

record::NamedTexts environment_facts() {
  record::NamedTexts facts;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos || !is_allowed(text.substr(0, equals))) continue;
    facts.emplace_back(as_utf8(text.substr(0, equals), kValueMax),
                       as_utf8(without_credentials(text.substr(equals + 1)), kValueMax));
  }
  std::sort(facts.begin(), facts.end());
  if (facts.size() > kVariablesMax) facts.resize(kVariablesMax);
  return facts;
}

record::NamedTexts container_facts(const std::string& root) {
  const std::string podman = root + "/run/.containerenv";
  std::string kind;
  std::string image = safe_variable("CONTAINER_IMAGE");
  std::string id;
  for (const char* name : {"APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"}) {
    if (kind.empty() && !safe_variable(name).empty()) {
      kind = "apptainer";
      image = safe_variable(name);
    }
  }
  if (kind.empty() && ::access(podman.c_str(), F_OK) == 0) {
    const std::string text = read_text(podman);
    kind = "podman";
    id = quoted(text, "id");
    if (image.empty()) image = quoted(text, "image");
  }
  if (kind.empty() && ::access((root + "/.dockerenv").c_str(), F_OK) == 0) kind = "docker";
  if (std::getenv("KUBERNETES_SERVICE_HOST") != nullptr) kind = "kubernetes";
  if (kind.empty()) kind = safe_variable("container");
  // In a control group of the engine's, or with files of the engine's mounted.
  if (id.empty()) id = container_id(read_text(root + "/proc/self/cgroup"));
  if (id.empty() && !kind.empty()) id = container_id(read_text(root + "/proc/self/mountinfo"));
  if (kind.empty() && !id.empty()) kind = "container";
  record::NamedTexts facts;
  if (kind.empty()) return facts;
  add(facts, "kind", kind);
  add(facts, "id", id);
  add(facts, "image", image);
  add(facts, "pod", kind == "kubernetes" ? safe_variable("HOSTNAME") : "");
  return facts;
}

}  // namespace ringlog::client
