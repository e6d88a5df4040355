#include "client/redact.h"

#include <gtest/gtest.h>

namespace ringlog::client {
namespace {

using Words = std::vector<std::string>;

TEST(Redact, NamesThatSoundLikeASecret) {
  for (const char* name : {"AWS_SECRET_ACCESS_KEY", "api-key", "APIKEY", "HF_TOKEN", "DB_PASSWORD",
                           "SSH_PRIVATE", "PMIX_SECURITY_KEY", "key", "--pass", "AUTH"}) {
    EXPECT_TRUE(is_secret_name(name)) << name;
  }
  for (const char* name :
       {"RANK", "keyboard", "OMP_NUM_THREADS", "NCCL_DEBUG", "bypass", "author"}) {
    EXPECT_FALSE(is_secret_name(name)) << name;
  }
}

TEST(Redact, UrlsLoseTheirCredentials) {
  EXPECT_EQ(without_credentials("https://me:pass@host/path?a=b@c"), "https://host/path?a=b@c");
  EXPECT_EQ(without_credentials("a http://t@h/ and ssh://u:p@g:22/r.git end"),
            "a http://h/ and ssh://g:22/r.git end");
  EXPECT_EQ(without_credentials("https://p@ss@host"), "https://host");
  EXPECT_EQ(without_credentials("git@github.com:me/x.git"), "git@github.com:me/x.git");
  EXPECT_EQ(without_credentials("://"), "://");
}

TEST(Redact, CommandLinesLoseValuesOfSecretOptions) {
  EXPECT_EQ(without_secrets({"train", "--api-key=abc", "--lr", "0.1", "--token", "t", "data"}),
            (Words{"train", "--api-key=(hidden)", "--lr", "0.1", "--token", "(hidden)", "data"}));
  EXPECT_EQ(without_secrets({"train", "wandb.key=abc", "--token", "--lr", "0.1"}),
            (Words{"train", "wandb.key=(hidden)", "--token", "--lr", "0.1"}));
  EXPECT_EQ(without_secrets({"sh", "-c", "echo a key = 1"}), (Words{"sh", "-c", "echo a key = 1"}));
}

TEST(Redact, TextForTheStoreIsUtf8AndNotTooLong) {
  EXPECT_EQ(as_utf8("caf\xc3\xa9", 100), "caf\xc3\xa9");
  EXPECT_EQ(as_utf8("caf\xc3\xa9", 4), "caf");
  EXPECT_EQ(as_utf8("a\xff z", 100), "a? z");
}

}  // namespace
}  // namespace ringlog::client
