#include "daemon/sinks/wandb_requests.h"

#include "daemon/sinks/sink_url.h"
#include "formats/utf8.h"
#include "store/row_json.h"

#include <nlohmann/json.hpp>

namespace ringlog::service {

namespace {

using WandbJson = nlohmann::ordered_json;

constexpr std::string_view kUpsert =
    "mutation UpsertBucket ($id: String, $name: String, $project: String, $entity: String, "
    "$groupName: String, $description: String, $displayName: String, $notes: String, "
    "$commit: String, $config: JSONString, $host: String, $debug: Boolean, $program: String, "
    "$repo: String, $jobType: String, $state: String, $sweep: String, $tags: [String!], "
    "$summaryMetrics: JSONString) { upsertBucket(input: {id:$id,name:$name,groupName:$groupName,"
    "modelName:$project,entityName:$entity,description:$description,displayName:$displayName,"
    "notes:$notes,config:$config,commit:$commit,host:$host,debug:$debug,jobProgram:$program,"
    "jobRepo:$repo,jobType:$jobType,state:$state,sweep:$sweep,tags:$tags,"
    "summaryMetrics:$summaryMetrics}) { bucket { id name displayName project { id name "
    "entity { id name } } historyLineCount } inserted } }";
constexpr std::string_view kResume =
    "query RunResumeStatus ($project: String, $entity: String, $name: String!) { "
    "model(name: $project, entityName: $entity) { id name entity { id name } "
    "bucket(name: $name, missingOk: true) { id name historyLineCount eventsLineCount "
    "logLineCount } } }";
constexpr std::string_view kAlert =
    "mutation NotifyScriptableRunAlert ($entityName: String!, $projectName: String!, "
    "$runName: String!, $title: String!, $text: String!, $severity: AlertSeverity = INFO, "
    "$waitDuration: Duration) { notifyScriptableRunAlert(input: {entityName:$entityName,"
    "projectName:$projectName,runName:$runName,title:$title,text:$text,severity:$severity,"
    "waitDuration:$waitDuration}) { success } }";
constexpr std::string_view kFiles =
    "mutation CreateRunFiles ($entity: String!, $project: String!, $run: String!, "
    "$files: [String!]!) { createRunFiles(input: {entityName:$entity,projectName:$project,"
    "runName:$run,files:$files}) { runID uploadHeaders files { name uploadUrl } } }";

WandbJson text_or_null(const std::string& text) {
  if (text.empty()) return nullptr;
  return formats::clean_utf8(text);
}

std::string graphql_body(std::string_view query, WandbJson variables, std::string_view name) {
  const WandbJson body = {
      {"query", query}, {"variables", std::move(variables)}, {"operationName", name}};
  return body.dump(-1, ' ', false, WandbJson::error_handler_t::replace);
}

void append_lines(std::string& out, std::string_view name, uint64_t offset,
                  const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  out += out.ends_with('{') ? "" : ",";
  store::append_json(out, name);
  out += ":{\"offset\":" + std::to_string(offset) + ",\"content\":[";
  for (const std::string& line : lines) {
    store::append_json(out, std::string_view(line));
    out += ',';
  }
  out.back() = ']';
  out += '}';
}

// Members on the way to a value; null where there is none.
const WandbJson& at(const WandbJson& json, std::initializer_list<const char*> keys) {
  static const WandbJson kNull;
  const WandbJson* found = &json;
  for (const char* key : keys) {
    if (!found->is_object() || !found->contains(key)) return kNull;
    found = &(*found)[key];
  }
  return *found;
}

std::string text_at(const WandbJson& json, std::initializer_list<const char*> keys) {
  const WandbJson& found = at(json, keys);
  return found.is_string() ? found.get<std::string>() : "";
}

WandbJson parse(std::string_view body) {
  return WandbJson::parse(body.begin(), body.end(), nullptr, /*allow_exceptions=*/false);
}

}  // namespace

std::string upsert_body(const WandbPlace& place, const formats::WandbRun& run,
                        const std::string& config, bool is_whole) {
  const auto whole = [&](const std::string& text) {
    return is_whole ? text_or_null(text) : WandbJson(nullptr);
  };
  WandbJson tags = nullptr;
  if (is_whole && !run.tags.empty()) {
    tags = WandbJson::array();
    for (const std::string& tag : run.tags) tags.push_back(formats::clean_utf8(tag));
  }
  WandbJson variables = {{"id", nullptr},
                         {"name", place.run},
                         {"project", text_or_null(place.project)},
                         {"entity", text_or_null(place.entity)},
                         {"groupName", whole(run.group)},
                         {"description", nullptr},
                         {"displayName", whole(run.name)},
                         {"notes", whole(run.notes)},
                         {"commit", whole(run.process.git.commit)},
                         {"config", config},
                         {"host", whole(run.host)},
                         {"debug", nullptr},
                         {"program", whole(run.command.empty() ? "" : run.command.front())},
                         {"repo", whole(run.process.git.remote)},
                         {"jobType", whole(run.job_type)},
                         {"state", nullptr},
                         {"sweep", nullptr},
                         {"tags", std::move(tags)},
                         {"summaryMetrics", nullptr}};
  return graphql_body(kUpsert, std::move(variables), "UpsertBucket");
}

std::string resume_body(const WandbPlace& place) {
  return graphql_body(kResume,
                      {{"project", place.project}, {"entity", place.entity}, {"name", place.run}},
                      "RunResumeStatus");
}

WandbAlert wandb_alert(schema::Alert::Reader alert) {
  const auto text_of = [](capnp::Text::Reader text) {
    return formats::clean_utf8({text.begin(), text.size()});
  };
  std::string severity = "INFO";
  if (alert.getLevel() == schema::Alert::Level::WARN) severity = "WARN";
  if (alert.getLevel() == schema::Alert::Level::ERROR) severity = "ERROR";
  return {text_of(alert.getTitle()), text_of(alert.getText()), std::move(severity)};
}

std::string alert_body(const WandbPlace& place, const WandbAlert& alert) {
  constexpr int64_t kWaitMs = 60'000;  // as W&B's own client asks for unless it is told
  return graphql_body(kAlert,
                      {{"entityName", place.entity},
                       {"projectName", place.project},
                       {"runName", place.run},
                       {"title", alert.title},
                       {"text", alert.text},
                       {"severity", alert.severity},
                       {"waitDuration", kWaitMs}},
                      "NotifyScriptableRunAlert");
}

std::string files_body(const WandbPlace& place, const std::vector<std::string>& names) {
  return graphql_body(
      kFiles,
      {{"entity", place.entity}, {"project", place.project}, {"run", place.run}, {"files", names}},
      "CreateRunFiles");
}

std::string stream_target(const WandbPlace& place) {
  return "/files/" + url_encode(place.entity) + "/" + url_encode(place.project) + "/" +
         url_encode(place.run) + "/file_stream";
}

std::string stream_body(const WandbStream& stream) {
  std::string files = "{";
  if (stream.batch != nullptr) {
    append_lines(files, "wandb-history.jsonl", stream.history, stream.batch->history);
    append_lines(files, "wandb-events.jsonl", stream.events, stream.batch->events);
    append_lines(files, "output.log", stream.output, stream.batch->output);
  }
  // The whole of it, always as the same line.
  if (!stream.summary.empty()) append_lines(files, "wandb-summary.json", 0, {stream.summary});
  std::string out = "{";
  if (files.size() > 1) out += "\"files\":" + files + "}";
  const auto separate = [&out] { out += out.size() > 1 ? "," : ""; };
  if (!stream.uploaded.empty()) {
    separate();
    out += "\"uploaded\":[";
    for (const std::string& name : stream.uploaded) {
      store::append_json(out, std::string_view(name));
      out += ',';
    }
    out.back() = ']';
  }
  if (stream.exit_code) {
    separate();
    out += "\"complete\":true,\"exitcode\":" + std::to_string(*stream.exit_code);
  }
  return out + "}";
}

std::string graphql_error(std::string_view body) {
  const WandbJson json = parse(body);
  if (!json.is_object()) return "the answer is no JSON object";
  const WandbJson& errors = at(json, {"errors"});
  if (!errors.is_array() || errors.empty()) return "";
  const std::string text = text_at(errors.front(), {"message"});
  return text.empty() ? "an error without a message" : text;
}

WandbAnswer read_upsert(std::string_view body) {
  WandbAnswer answer{.error = graphql_error(body)};
  if (!answer.error.empty()) return answer;
  const WandbJson json = parse(body);
  const WandbJson& upsert = at(json, {"data", "upsertBucket"});
  answer.project = text_at(upsert, {"bucket", "project", "name"});
  answer.entity = text_at(upsert, {"bucket", "project", "entity", "name"});
  const WandbJson& inserted = at(upsert, {"inserted"});
  answer.is_new = inserted.is_boolean() && inserted.get<bool>();
  if (answer.entity.empty() || answer.project.empty()) {
    answer.error = "the answer does not say whose run it is";
  }
  return answer;
}

std::optional<WandbCounts> read_resume(std::string_view body) {
  const WandbJson json = parse(body);
  const WandbJson& bucket = at(json, {"data", "model", "bucket"});
  if (!bucket.is_object()) return {};
  const auto count = [&](const char* key) {
    const WandbJson& found = at(bucket, {key});
    return found.is_number_unsigned() ? found.get<uint64_t>() : 0;
  };
  return WandbCounts{count("historyLineCount"), count("eventsLineCount"), count("logLineCount")};
}

WandbUrls read_urls(std::string_view body) {
  WandbUrls urls{.error = graphql_error(body)};
  if (!urls.error.empty()) return urls;
  const WandbJson json = parse(body);
  const WandbJson& created = at(json, {"data", "createRunFiles"});
  for (const WandbJson& header : at(created, {"uploadHeaders"})) {
    if (header.is_string()) urls.headers.push_back(header.get<std::string>());
  }
  for (const WandbJson& file : at(created, {"files"})) {
    const std::string url = text_at(file, {"uploadUrl"});
    if (!url.empty()) urls.files.emplace_back(text_at(file, {"name"}), url);
  }
  if (urls.files.empty()) urls.error = "the answer has no addresses for files";
  return urls;
}

bool is_stopped(std::string_view body) {
  const WandbJson json = parse(body);
  const WandbJson& stopped = at(json, {"stopped"});
  return stopped.is_boolean() && stopped.get<bool>();
}

}  // namespace ringlog::service
