#include <algorithm>

#include "cli/command.h"
#include "cli/credentials.h"
#include "cli/output.h"
#include "cli/portable_host.h"

namespace cli {
namespace {

using base::Result;
using base::Status;

struct Options {
  std::vector<std::string> names;
  unsigned settle_seconds = 10;
  CredentialOptions credentials;
};

// What became of one service.
struct Outcome {
  std::string status;  // "up to date", "updated", "rolled back", "failed"
  std::string image;
  std::string reason;
};

class Update {
 public:
  Update(const Context& context, const Options& options, PortableHost& host, PortableRecord record)
      : context_(context), options_(options), host_(host), record_(std::move(record)) {}

  Result<Outcome> Run() {
    RETURN_IF_ERROR(FinishInterrupted());
    ASSIGN_OR_RETURN(const auto images, Pull());
    const auto& [now, next] = images;
    if (next.id == now.id) return Outcome{"up to date", now.id, ""};
    if (next.id == record_.failed) return Outcome{"up to date", now.id, "image " + next.id + " did not start before"};
    ASSIGN_OR_RETURN(const bool was_running, host_.services().IsRunning(record_.name));
    Status moved = MoveTo(next, was_running);
    if (moved.ok()) {
      record_.previous.clear();
      record_.failed.clear();
      RETURN_IF_ERROR(host_.Write(record_));
      RETURN_IF_ERROR(host_.RemoveOldLayers(record_));
      RETURN_IF_ERROR(DropImage(now.id));
      return Outcome{"updated", next.id, ""};
    }
    // A stop is no fault of the image.
    if (!context_.stop.stop_requested()) record_.failed = next.id;
    RETURN_IF_ERROR(MoveBackTo(now, was_running).Wrap("return to image " + now.id));
    return Outcome{"rolled back", now.id, moved.error().message()};
  }

 private:
  // A crash in the midst of an update: back to where it came from.
  Status FinishInterrupted() {
    if (record_.previous.empty() && host_.services().Exists(record_.name)) return base::Ok();
    const std::string id = record_.previous.empty() ? record_.image : record_.previous;
    std::optional<image::Image> image;
    {
      ASSIGN_OR_RETURN(const auto store, host_.OpenStore());
      ASSIGN_OR_RETURN(image, store->Find(id));
    }
    if (!image) return base::NotFound("image " + id + " is gone");
    return MoveBackTo(*image, true).Wrap("finish an update that was cut off");
  }

  // The present image and what its name stands for now.
  Result<std::pair<image::Image, image::Image>> Pull() {
    ASSIGN_OR_RETURN(const auto store, host_.OpenStore());
    ASSIGN_OR_RETURN(const image::Credentials credentials, CredentialsFor(options_.credentials, record_.reference));
    ASSIGN_OR_RETURN(const std::string id, store->Pull(record_.reference, credentials, context_.stop));
    ASSIGN_OR_RETURN(const auto now, store->Find(record_.image));
    ASSIGN_OR_RETURN(const auto next, store->Find(id));
    if (!now || !next) return base::NotFound("image " + (now ? id : record_.image) + " is gone");
    if (id != record_.image && id != record_.failed) {
      // While the store is locked, so that both images stay.
      record_.previous = record_.image;
      record_.image = id;
      RETURN_IF_ERROR(host_.Write(record_));
    }
    return std::pair(*now, *next);
  }

  Status MoveTo(const image::Image& image, bool start) {
    RETURN_IF_ERROR(host_.services().Stop(record_.name));
    RETURN_IF_ERROR(host_.Install(record_, image));
    if (!start) return base::Ok();
    RETURN_IF_ERROR(host_.services().Start(record_.name));
    return host_.services().StaysUp(record_.name, std::chrono::seconds(options_.settle_seconds), context_.stop);
  }

  Status MoveBackTo(const image::Image& image, bool start) {
    record_.image = image.id;
    RETURN_IF_ERROR(host_.services().Stop(record_.name));
    RETURN_IF_ERROR(host_.Install(record_, image));
    record_.previous.clear();
    RETURN_IF_ERROR(host_.Write(record_));
    RETURN_IF_ERROR(host_.RemoveOldLayers(record_));
    if (start) RETURN_IF_ERROR(host_.services().Start(record_.name));
    return base::Ok();
  }

  // An image that has no name any more and that no service runs.
  Status DropImage(const std::string& id) {
    ASSIGN_OR_RETURN(const auto store, host_.OpenStore());
    ASSIGN_OR_RETURN(const auto image, store->Find(id));
    if (!image || !image->tags.empty()) return base::Ok();
    ASSIGN_OR_RETURN(const auto records, host_.Records());
    const bool used = std::any_of(records.begin(), records.end(), [&](const PortableRecord& record) {
      return record.image == id || record.previous == id;
    });
    return used ? base::Ok() : store->Remove(id);
  }

  const Context& context_;
  const Options& options_;
  PortableHost& host_;
  PortableRecord record_;
};

Result<std::vector<PortableRecord>> Chosen(const PortableHost& host, const std::vector<std::string>& names) {
  std::vector<PortableRecord> chosen;
  if (names.empty()) {
    ASSIGN_OR_RETURN(chosen, host.Records());
    std::erase_if(chosen, [](const PortableRecord& record) { return !record.auto_update; });
    return chosen;
  }
  for (const std::string& name : names) {
    if (name.find('/') != std::string::npos) return base::InvalidArgument("\"" + name + "\" is no name of a service");
    ASSIGN_OR_RETURN(const auto record, host.Find(name));
    if (!record) return base::NotFound("there is no portable service " + name + " made of an image");
    chosen.push_back(*record);
  }
  return chosen;
}

Result<int> RunAutoUpdate(const Context& context, const Options& options) {
  ASSIGN_OR_RETURN(const auto host, PortableHost::Open(context));
  ASSIGN_OR_RETURN(const auto records, Chosen(*host, options.names));
  nlohmann::json all = nlohmann::json::array();
  int status = 0;
  for (const PortableRecord& record : records) {
    auto updated = Update(context, options, *host, record).Run();
    const Outcome outcome = updated.ok() ? *updated : Outcome{"failed", record.image, updated.error().message()};
    if (outcome.status == "failed" || outcome.status == "rolled back") status = 1;
    all.push_back(
        {{"name", record.name}, {"status", outcome.status}, {"id", outcome.image}, {"reason", outcome.reason}});
    if (!context.json) {
      PrintLine(record.name + ": " + outcome.status + " (" + ShortId(outcome.image) + ")" +
                (outcome.reason.empty() ? "" : ": " + outcome.reason));
    }
  }
  if (context.json) PrintJson(all);
  return status;
}

}  // namespace

void AddAutoUpdate(CLI::App& app, const Choose& choose) {
  auto* const command =
      app.add_subcommand("auto-update", "Pull the images of services again and move the services to what is new");
  const auto options = std::make_shared<Options>();
  command->add_option("NAME", options->names,
                      "Names of services; without any, all that were attached with --auto-update");
  command
      ->add_option("--settle", options->settle_seconds,
                   "Seconds that a service must stay up with its new image, or it gets the old one back")
      ->capture_default_str();
  AddCredentialOptions(*command, options->credentials);
  command->callback([=] { choose([=](const Context& context) { return RunAutoUpdate(context, *options); }); });
}

}  // namespace cli
