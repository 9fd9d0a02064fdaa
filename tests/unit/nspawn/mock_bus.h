// A bus that a test scripts.
#pragma once

#include <gmock/gmock.h>
#include <signal.h>

#include <map>
#include <mutex>
#include <string>

#include "nspawn/bus.h"

namespace nspawn {

class MockBus : public Bus {
 public:
  MockBus() {
    using ::testing::_;
    using ::testing::Return;
    ON_CALL(*this, StartUnit(_)).WillByDefault(Return(base::Result<std::string>("done")));
    ON_CALL(*this, StartTransientUnit(_, _)).WillByDefault(Return(base::Result<std::string>("done")));
    ON_CALL(*this, StopUnit(_)).WillByDefault(Return(base::Result<std::string>("done")));
    ON_CALL(*this, IsLoaded(_)).WillByDefault(Return(base::Result<bool>(true)));
    ON_CALL(*this, ListUnits(_))
        .WillByDefault(Return(base::Result<std::vector<std::string>>(std::vector<std::string>())));
    ON_CALL(*this, GetService(_)).WillByDefault(Return(base::Result<ServiceState>(ServiceState())));
    ON_CALL(*this, GetControlGroup(_)).WillByDefault([](const std::string& unit) {
      return base::Result<std::string>("/test.slice/" + unit);
    });
  }

  MOCK_METHOD(base::Result<std::string>, StartUnit, (const std::string&), (override));
  MOCK_METHOD(base::Result<std::string>, StartTransientUnit, (const std::string&, const std::vector<Setting>&),
              (override));
  MOCK_METHOD(base::Result<std::string>, StopUnit, (const std::string&), (override));
  MOCK_METHOD(base::Result<bool>, IsLoaded, (const std::string&), (override));
  MOCK_METHOD(base::Status, KillMainProcess, (const std::string&, int), (override));
  MOCK_METHOD(base::Status, ResetFailedUnit, (const std::string&), (override));
  MOCK_METHOD(base::Status, SetUnitProperties, (const std::string&, const std::vector<Setting>&), (override));
  MOCK_METHOD(base::Result<std::vector<std::string>>, ListUnits, (const std::string&), (override));
  MOCK_METHOD(base::Result<ServiceState>, GetService, (const std::string&), (override));
  MOCK_METHOD(base::Result<std::string>, GetControlGroup, (const std::string&), (override));
  MOCK_METHOD(base::Status, RegisterMachine,
              (const std::string&, const std::vector<uint8_t>&, pid_t, const std::string&), (override));
  MOCK_METHOD(base::Status, AttachImage, (const std::string&, const std::string&, const std::string&), (override));
  MOCK_METHOD(base::Status, DetachImage, (const std::string&), (override));
  MOCK_METHOD(base::Status, AttachImageForGood, (const std::string&, const std::string&, const std::string&),
              (override));
  MOCK_METHOD(base::Status, DetachImageForGood, (const std::string&), (override));
  MOCK_METHOD(base::Status, EnableUnit, (const std::string&), (override));
  MOCK_METHOD(base::Status, DisableUnit, (const std::string&), (override));
  MOCK_METHOD(base::Status, Reload, (), (override));

  void Watch(const std::string& unit, std::function<void(const ServiceState&)> changed) override {
    const std::lock_guard lock(mutex_);
    watchers_[unit] = std::move(changed);
  }
  void Unwatch(const std::string& unit) override {
    const std::lock_guard lock(mutex_);
    watchers_.erase(unit);
  }
  bool Watches(const std::string& unit) {
    const std::lock_guard lock(mutex_);
    return watchers_.contains(unit);
  }

  // As systemd's PropertiesChanged.
  void Tell(const std::string& unit, const ServiceState& state) {
    std::function<void(const ServiceState&)> watcher;
    {
      const std::lock_guard lock(mutex_);
      const auto found = watchers_.find(unit);
      if (found == watchers_.end()) return;
      watcher = found->second;
    }
    watcher(state);
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::function<void(const ServiceState&)>> watchers_;
};

// States of a container's unit.
inline ServiceState Running(pid_t pid) {
  ServiceState state;
  state.main_pid = pid;
  state.started_at = 1'700'000'000'000'000;
  state.result = "success";
  state.status_text = "started";
  return state;
}
inline ServiceState Ended(int code, int status, const std::string& result = "success") {
  ServiceState state = Running(0);
  state.exit_code = code;
  state.exit_status = status;
  state.exited_at = 1'700'000'005'000'000;
  state.result = result;
  return state;
}

}  // namespace nspawn
