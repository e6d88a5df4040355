// What launchers say, as they say it.

#include "client/launcher_env.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <string>

#include "environment.h"

namespace ringlog::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Optional;
using ::testing::SizeIs;

using Variables = std::map<const char*, std::string>;

class LauncherTest : public ::testing::Test {
 protected:
  LauncherInfo read(const Variables& variables) {
    for (const auto& [name, value] : variables) env.set(name, value);
    LauncherInfo info = read_launcher();
    for (const auto& [name, value] : variables) env.unset(name);
    return info;
  }
  test::Environment env;
};

TEST_F(LauncherTest, NobodyLaunchedAPlainProgram) {
  const LauncherInfo info = read({});
  EXPECT_EQ(info.source, "");
  EXPECT_FALSE(info.rank);
  EXPECT_EQ(info.run_id, "");
}

TEST_F(LauncherTest, Torchrun) {
  const LauncherInfo info = read({{"RANK", "3"},
                                  {"LOCAL_RANK", "1"},
                                  {"WORLD_SIZE", "4"},
                                  {"TORCHELASTIC_RESTART_COUNT", "2"},
                                  {"TORCHELASTIC_RUN_ID", "my-job"}});
  EXPECT_EQ(info.source, "torchrun");
  EXPECT_THAT(info.rank, Optional(3));
  EXPECT_THAT(info.local_rank, Optional(1));
  EXPECT_THAT(info.world_size, Optional(4));
  EXPECT_THAT(info.attempt, Optional(2));
  EXPECT_EQ(info.run_id, "my-job");
}

TEST_F(LauncherTest, TorchrunWithoutAnIdNamesTheJobByLauncherAndAddress) {
  const Variables none = {{"RANK", "0"},
                          {"TORCHELASTIC_RUN_ID", "none"},
                          {"MASTER_ADDR", "localhost"},
                          {"MASTER_PORT", "29500"}};
  const std::string id = read(none).run_id;
  EXPECT_THAT(id, MatchesRegex("[a-z0-9]+"));
  EXPECT_EQ(id.size(), 8u);
  Variables other_rank = none;
  other_rank["RANK"] = "1";
  other_rank["TORCHELASTIC_RESTART_COUNT"] = "1";
  EXPECT_EQ(read(other_rank).run_id, id) << "the same for all ranks and restarts";
  Variables other_port = none;
  other_port["MASTER_PORT"] = "29501";
  EXPECT_NE(read(other_port).run_id, id);
}

TEST_F(LauncherTest, TorchrunJobsOfTwoLaunchersDiffer) {
  const Variables none = {{"RANK", "0"}, {"TORCHELASTIC_RUN_ID", "none"}, {"MASTER_PORT", "29500"}};
  const std::string id = read(none).run_id;
  // A child has another launcher: us.
  const pid_t child = ::fork();
  if (child == 0) ::_exit(read(none).run_id == id ? 1 : 0);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(LauncherTest, RankSetByHandAgreesOnNoRun) {
  const LauncherInfo info = read({{"RANK", "3"}});
  EXPECT_THAT(info.rank, Optional(3));
  EXPECT_EQ(info.run_id, "");
}

TEST_F(LauncherTest, IdsAreMadeFitForAFolder) {
  const auto id_of = [&](const std::string& id) {
    return read({{"RANK", "0"}, {"TORCHELASTIC_RUN_ID", id}}).run_id;
  };
  EXPECT_EQ(id_of("a/b:c d"), "a-b-c-d");
  EXPECT_EQ(id_of("v1.2_x"), "v1.2_x");
  EXPECT_EQ(id_of(std::string(300, 'x')).size(), 8u);
  // Found by this test: these would have been folders that are not ours.
  EXPECT_THAT(id_of("."), MatchesRegex("[a-z0-9]+"));
  EXPECT_THAT(id_of(".."), MatchesRegex("[a-z0-9]+"));
}

TEST_F(LauncherTest, Slurm) {
  const Variables task = {{"SLURM_PROCID", "12"},  {"SLURM_LOCALID", "4"},
                          {"SLURM_NTASKS", "64"},  {"SLURM_RESTART_COUNT", "1"},
                          {"SLURM_JOB_ID", "777"}, {"SLURM_STEP_ID", "0"}};
  const LauncherInfo info = read(task);
  EXPECT_EQ(info.source, "slurm");
  EXPECT_THAT(info.rank, Optional(12));
  EXPECT_THAT(info.local_rank, Optional(4));
  EXPECT_THAT(info.world_size, Optional(64));
  EXPECT_THAT(info.attempt, Optional(1));
  EXPECT_EQ(info.run_id, "slurm-777-0");
}

// The service takes names up to 128 bytes; a fuzzer found that job and step together could be more.
TEST_F(LauncherTest, LongIdsBecomeShortOnesThatDiffer) {
  const auto id_of = [&](const std::string& job) {
    return read({{"SLURM_PROCID", "1"},
                 {"SLURM_JOB_ID", job},
                 {"SLURM_STEP_ID", std::string(60, '0')}})
        .run_id;
  };
  const std::string job(100, '7');
  EXPECT_THAT(id_of(job), MatchesRegex("[a-z0-9]+"));
  EXPECT_EQ(id_of(job), id_of(job));
  EXPECT_NE(id_of(job), id_of(job + "8"));
}

// `srun --pty bash`: what is started in that shell, one after another, is no rank and no attempt of
// one; the program that `srun` itself started is.
TEST_F(LauncherTest, SlurmStepOfOneTask) {
  Variables task = {{"SLURM_PROCID", "0"},
                    {"SLURM_STEP_ID", "0"},
                    {"SLURM_NTASKS", "1"},
                    {"SLURM_JOB_ID", "777"},
                    {"SLURM_TASK_PID", std::to_string(::getppid())}};
  EXPECT_EQ(read(task).source, "");
  EXPECT_FALSE(read(task).rank);
  task["SLURM_TASK_PID"] = std::to_string(::getpid());
  EXPECT_EQ(read(task).run_id, "slurm-777-0");
  EXPECT_THAT(read(task).rank, Optional(0));
}

TEST_F(LauncherTest, SlurmBatchScriptIsNoRank) {
  EXPECT_EQ(read({{"SLURM_PROCID", "0"}, {"SLURM_JOB_ID", "777"}}).source, "");
}

TEST_F(LauncherTest, OpenMpi) {
  const Variables rank = {{"OMPI_COMM_WORLD_RANK", "1"},
                          {"OMPI_COMM_WORLD_LOCAL_RANK", "0"},
                          {"OMPI_COMM_WORLD_SIZE", "2"},
                          {"PMIX_NAMESPACE", "prterun-host-99@1"}};
  const LauncherInfo info = read(rank);
  EXPECT_EQ(info.source, "openmpi");
  EXPECT_THAT(info.rank, Optional(1));
  EXPECT_THAT(info.local_rank, Optional(0));
  EXPECT_THAT(info.world_size, Optional(2));
  EXPECT_FALSE(info.attempt);
  EXPECT_EQ(info.run_id.size(), 8u);
  Variables older = rank;
  older.erase("PMIX_NAMESPACE");
  EXPECT_EQ(read({{"OMPI_COMM_WORLD_RANK", "1"}}).run_id, "");
  EXPECT_EQ(read({{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_MCA_ess_base_jobid", "5"}}).run_id.size(),
            8u);
}

TEST_F(LauncherTest, Pmi) {
  const LauncherInfo info = read(
      {{"PMI_RANK", "3"}, {"MPI_LOCALRANKID", "3"}, {"PMI_SIZE", "4"}, {"PMI_PORT", "host:40001"}});
  EXPECT_EQ(info.source, "pmi");
  EXPECT_THAT(info.rank, Optional(3));
  EXPECT_THAT(info.local_rank, Optional(3));
  EXPECT_THAT(info.world_size, Optional(4));
  EXPECT_EQ(info.run_id.size(), 8u);
}

TEST_F(LauncherTest, InnerLauncherKnowsBetter) {
  const Variables slurm = {{"SLURM_PROCID", "0"}, {"SLURM_STEP_ID", "0"}, {"SLURM_JOB_ID", "7"}};
  Variables both = slurm;
  both["RANK"] = "5";
  both["TORCHELASTIC_RUN_ID"] = "t";
  EXPECT_EQ(read(both).source, "torchrun");
  both = slurm;
  both["PMI_RANK"] = "2";
  EXPECT_EQ(read(both).source, "pmi");
  both["OMPI_COMM_WORLD_RANK"] = "2";
  EXPECT_EQ(read(both).source, "openmpi");
}

TEST_F(LauncherTest, NumbersThatAreNoneAreAsIfUnset) {
  for (const char* text : {"", "x", "-1", "1x", " 1", "99999999999"}) {
    EXPECT_EQ(read({{"RANK", text}}).source, "") << text;
  }
  EXPECT_FALSE(read({{"RANK", "1"}, {"WORLD_SIZE", "many"}}).world_size);
}

TEST_F(LauncherTest, NumbersThatCannotBeUsedAreNamed) {
  EXPECT_THAT(read({{"RANK", "abc"}}).notices,
              ElementsAre("the variable RANK is \"abc\" and is ignored; allowed: a whole number "
                          "from 0 to 1000000"));
  EXPECT_THAT(read({{"RANK", "2147483647"}}).notices, SizeIs(1));
  EXPECT_FALSE(read({{"RANK", "1000001"}}).rank);
  EXPECT_THAT(read({{"RANK", "1000000"}}).notices, IsEmpty());
  EXPECT_THAT(read({{"RANK", "1"}, {"WORLD_SIZE", "many"}}).notices,
              ElementsAre(HasSubstr("WORLD_SIZE")));
  EXPECT_THAT(read({{"SLURM_PROCID", "0"}, {"SLURM_STEP_ID", "0"}, {"SLURM_NTASKS", "x"}}).notices,
              ElementsAre(HasSubstr("SLURM_NTASKS")));
  EXPECT_THAT(read({{"RANK", ""}}).notices, IsEmpty()) << "as if unset";
}

// Two jobs of one shell, one after another, cannot be told apart; that is said with the second.
TEST_F(LauncherTest, JobsSetUpByHandMayBeMistakenForOne) {
  EXPECT_THAT(read({{"RANK", "0"}, {"MASTER_PORT", "29500"}}).rejoined,
              HasSubstr("RINGLOG_RUN_ID"));
  EXPECT_EQ(
      read({{"RANK", "0"}, {"MASTER_PORT", "29500"}, {"TORCHELASTIC_RUN_ID", "none"}}).rejoined,
      "");
  EXPECT_EQ(read({{"RANK", "0"}}).rejoined, "");
}

}  // namespace
}  // namespace ringlog::client
