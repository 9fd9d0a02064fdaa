// Pulls of the same image at the same time, made into one.
#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "base/result.h"
#include "image/store.h"

namespace image {

// Thread-safe.
class SharedPulls {
 public:
  // Gives an image's id.
  using Pull = std::function<base::Result<std::string>(const std::stop_token& stop)>;

  // Runs `pull`, unless it is under way for the same reference and credentials: then waits for what that gives. `pull`
  // runs in the first caller's thread, and is stopped when no caller is left who wants its result: a first caller who
  // is stopped while others wait gets the result like them. Others who are stopped get kCancelled at once.
  base::Result<std::string> Run(const std::string& reference, const Credentials& credentials, const Pull& pull,
                                const std::stop_token& stop);

 private:
  struct Running {
    std::string reference;
    Credentials credentials;
    int waiting = 0;
    bool unwanted = false;  // by the first caller
    std::stop_source stop;
    std::optional<base::Result<std::string>> result;
  };

  std::shared_ptr<Running> Find(const std::string& reference, const Credentials& credentials);

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::list<std::shared_ptr<Running>> running_;
};

}  // namespace image
