#include "client/environment_facts.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

namespace ringlog::client {
namespace {

namespace fs = std::filesystem;
using Facts = std::map<std::string, std::string>;

// Variables for one test.
class Variables {
 public:
  explicit Variables(const Facts& variables) : variables_(variables) {
    for (const auto& [name, value] : variables_) ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~Variables() {
    for (const auto& [name, value] : variables_) ::unsetenv(name.c_str());
  }
  Variables(const Variables&) = delete;
  Variables& operator=(const Variables&) = delete;

 private:
  Facts variables_;
};

Facts map_of(const record::NamedTexts& list) { return {list.begin(), list.end()}; }

TEST(EnvironmentFacts, HaveWhatExplainsARunAndNoSecret) {
  const Variables variables({{"SLURM_JOB_ID", "12"},
                             {"NCCL_DEBUG", "INFO"},
                             {"PMIX_SECURITY_KEY", "secret1"},
                             {"RAY_TOKEN", "secret2"},
                             {"SLURM_JWT", "secret6"},
                             {"OMPI_MCA_orte_precondition_transports", "secret7-secret8"},
                             {"RAY_ADDRESS", "https://host/x?access_token=secret9"},
                             {"TORCH_HOME", "http://me:secret3@host/x"},
                             {"MY_OWN", "secret4"},
                             {"AWS_SECRET_ACCESS_KEY", "secret5"}});
  const Facts facts = map_of(environment_facts());
  EXPECT_EQ(facts.at("SLURM_JOB_ID"), "12");
  EXPECT_EQ(facts.at("NCCL_DEBUG"), "INFO");
  EXPECT_EQ(facts.at("TORCH_HOME"), "http://host/x");
  for (const auto& [name, value] : facts)
    EXPECT_EQ(value.find("secret"), std::string::npos) << name;
}

TEST(EnvironmentFacts, AreLimited) {
  Facts many;
  for (int i = 0; i < 400; ++i) many["CUDA_X" + std::to_string(i)] = std::string(5000, 'x');
  const Variables variables(many);
  const auto facts = environment_facts();
  EXPECT_EQ(facts.size(), 256U);
  for (const auto& [name, value] : facts) EXPECT_LE(value.size(), 1024U);
}

class ContainerFacts : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = fs::temp_directory_path() / "ringlog-container-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
    ::unsetenv("KUBERNETES_SERVICE_HOST");
    ::unsetenv("container");
  }
  void TearDown() override { fs::remove_all(root_); }
  void write(const std::string& path, const std::string& text) const {
    fs::create_directories((fs::path(root_) / path).parent_path());
    std::ofstream(fs::path(root_) / path) << text;
  }
  Facts read() const { return map_of(container_facts(root_)); }

  std::string root_;
  const std::string id_ = std::string(32, 'a') + std::string(32, '1');
};

TEST_F(ContainerFacts, AreEmptyOutsideOfOne) {
  write("proc/self/cgroup", "0::/user.slice/session-1.scope\n");
  write("proc/self/mountinfo", "1 2 3 " + id_ + "\n");
  EXPECT_EQ(read(), Facts());
}

TEST_F(ContainerFacts, OfDocker) {
  write(".dockerenv", "");
  write("proc/self/cgroup", "0::/\n");
  write("proc/self/mountinfo",
        "9 8 / /var/lib/docker/containers/" + id_ + "/hostname /etc/hostname\n");
  EXPECT_EQ(read(), (Facts{{"kind", "docker"}, {"id", id_}}));
}

TEST_F(ContainerFacts, OfPodman) {
  write("run/.containerenv", "engine=\"podman\"\nid=\"" + id_ + "\"\nimage=\"debian:12\"\n");
  EXPECT_EQ(read(), (Facts{{"kind", "podman"}, {"id", id_}, {"image", "debian:12"}}));
}

TEST_F(ContainerFacts, OfKubernetesAndApptainer) {
  write("proc/self/cgroup", "0::/kubepods/pod1/cri-containerd-" + id_ + ".scope\n");
  {
    const Variables variables({{"KUBERNETES_SERVICE_HOST", "10.0.0.1"}, {"HOSTNAME", "train-0"}});
    EXPECT_EQ(read(), (Facts{{"kind", "kubernetes"}, {"id", id_}, {"pod", "train-0"}}));
  }
  const Variables variables(Facts{{"APPTAINER_CONTAINER", "/images/a.sif"}});
  EXPECT_EQ(read(), (Facts{{"kind", "apptainer"}, {"id", id_}, {"image", "/images/a.sif"}}));
}

}  // namespace
}  // namespace ringlog::client
