// A PluginRunner without plugins: it records every call and answers as a test tells it. Other programs have no verb and
// a text instead of an input.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/text.h"
#include "cni/plugin_runner.h"

namespace cni {

class ScriptedRunner : public PluginRunner {
 public:
  struct Call {
    std::string verb;     // CNI_COMMAND
    std::string plugin;   // the program's file name
    std::string program;  // as called
    std::vector<std::string> arguments;
    std::map<std::string, std::string> environment;
    base::Json input;
    std::string text;
    std::chrono::milliseconds timeout;
  };
  using Answer = std::function<base::Result<PluginOutput>(const Call&)>;

  base::Result<PluginOutput> Run(const PluginCall& plugin_call) override {
    Call call;
    call.program = plugin_call.program;
    call.plugin = plugin_call.program.substr(plugin_call.program.rfind('/') + 1);
    call.timeout = plugin_call.timeout;
    for (const std::string& variable : plugin_call.environment) {
      const size_t equals = variable.find('=');
      call.environment[variable.substr(0, equals)] = variable.substr(equals + 1);
    }
    call.verb = call.environment["CNI_COMMAND"];
    call.arguments = plugin_call.arguments;
    call.text = plugin_call.standard_input;
    if (!call.verb.empty()) call.input = base::Json::parse(call.text);
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back(call);
    }
    return answer_(call);
  }

  // Takes effect with the next call.
  void AnswerBy(Answer answer) { answer_ = std::move(answer); }

  std::vector<Call> TakeCalls() {
    const std::lock_guard lock(mutex_);
    return std::move(calls_);
  }
  // "ADD bridge", "DEL portmap" and so on.
  std::vector<std::string> TakeCallNames() {
    std::vector<std::string> names;
    for (const Call& call : TakeCalls()) names.push_back(call.verb + " " + call.plugin);
    return names;
  }

 private:
  std::mutex mutex_;
  std::vector<Call> calls_;
  Answer answer_;
};

}  // namespace cni
