#include "client/redact.h"

#include <gtest/gtest.h>

namespace ringlog::client {
namespace {

using Words = std::vector<std::string>;

TEST(Redact, NamesThatSoundLikeASecret) {
  for (const char* name : {"AWS_SECRET_ACCESS_KEY", "api-key", "APIKEY", "HF_TOKEN", "DB_PASSWORD",
                           "SSH_PRIVATE", "PMIX_SECURITY_KEY", "key", "--pass", "AUTH", "SLURM_JWT",
                           "--hf-token", "authToken", "Authorization", "x-api-key"}) {
    EXPECT_TRUE(is_secret_name(name)) << name;
  }
  for (const char* name : {"RANK", "keyboard", "OMP_NUM_THREADS", "NCCL_DEBUG", "bypass", "author",
                           "--tokenizer", "--max-tokens", "num_tokens", "passes"}) {
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

TEST(Redact, NamedValuesWithinAText) {
  EXPECT_EQ(without_credentials("https://h/p?api_key=S&n=1&sig=T#x"),
            "https://h/p?api_key=(hidden)&n=1&sig=(hidden)");
  EXPECT_EQ(without_credentials("curl -H 'Cookie: a=S; b=T' -k"), "curl -H 'Cookie: (hidden)' -k");
  EXPECT_EQ(without_credentials("Authorization: Bearer S"), "Authorization: (hidden)");
  EXPECT_EQ(without_credentials("X-Api-Key: S"), "X-Api-Key: (hidden)");
  EXPECT_EQ(without_credentials("{\"lr\": 1, \"api_key\": \"S T\", \"n\": 2}"),
            "{\"lr\": 1, \"api_key\": (hidden), \"n\": 2}");
  EXPECT_EQ(without_credentials("{'token':'S'}"), "{'token':(hidden)}");
  EXPECT_EQ(without_credentials("HF_TOKEN=S python x.py --password='S T' -n 1"),
            "HF_TOKEN=(hidden) python x.py --password=(hidden) -n 1");
  for (const char* text : {"/opt/token:/usr/lib", "the key is lost", "max_tokens=5", "token=", "",
                           "a key = 1", "key:value", "\"token\"", "--tokenizer=gpt2"}) {
    EXPECT_EQ(without_credentials(text), text);
  }
}

TEST(Redact, CommandLinesLoseValuesOfSecretOptions) {
  EXPECT_EQ(without_secrets({"train", "--api-key=abc", "--lr", "0.1", "--token", "t", "data"}),
            (Words{"train", "--api-key=(hidden)", "--lr", "0.1", "--token", "(hidden)", "data"}));
  EXPECT_EQ(without_secrets({"train", "wandb.key=abc", "--token", "--lr", "0.1"}),
            (Words{"train", "wandb.key=(hidden)", "--token", "--lr", "0.1"}));
  EXPECT_EQ(
      without_secrets({"c", "--url", "https://h/p?api_key=S", "--header", "Authorization: Bearer S",
                       "--pass", "-S", "--max-tokens", "512", "--tokenizer", "gpt2"}),
      (Words{"c", "--url", "https://h/p?api_key=(hidden)", "--header", "Authorization: (hidden)",
             "--pass", "(hidden)", "--max-tokens", "512", "--tokenizer", "gpt2"}));
  EXPECT_EQ(without_secrets({"sh", "-c", "echo a key = 1"}), (Words{"sh", "-c", "echo a key = 1"}));
}

TEST(Redact, TextForTheStoreIsUtf8AndNotTooLong) {
  EXPECT_EQ(as_utf8("caf\xc3\xa9", 100), "caf\xc3\xa9");
  EXPECT_EQ(as_utf8("caf\xc3\xa9", 4), "caf");
  EXPECT_EQ(as_utf8("a\xff z", 100), "a? z");
}

}  // namespace
}  // namespace ringlog::client
