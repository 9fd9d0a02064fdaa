#include "cri/stop_signal.h"

#include <gtest/gtest.h>

#include "nspawn/signal_name.h"

namespace cri {
namespace {

namespace v1 = runtime::v1;

// By name: the enumerators collide with the macros of <signal.h>, which gtest includes.
v1::Signal Named(const std::string& name) {
  v1::Signal signal = v1::RUNTIME_DEFAULT;
  EXPECT_TRUE(v1::Signal_Parse(name, &signal)) << name;
  return signal;
}

std::string Of(const std::string& config_signal, const std::string& image_signal) {
  v1::ContainerConfig config;
  config.set_stop_signal(Named(config_signal));
  image::ImageConfig image;
  image.stop_signal = image_signal;
  return v1::Signal_Name(StopSignalOf(config, image));
}

TEST(StopSignal, ThePodsGoesBeforeTheImages) {
  EXPECT_EQ(Of("SIGUSR1", "SIGQUIT"), "SIGUSR1");
  EXPECT_EQ(Of("RUNTIME_DEFAULT", "SIGQUIT"), "SIGQUIT");
  EXPECT_EQ(Of("RUNTIME_DEFAULT", ""), "SIGTERM");
  EXPECT_EQ(Of("RUNTIME_DEFAULT", "nonsense"), "SIGTERM");
}

TEST(StopSignal, ImagesMayWriteItInAnyForm) {
  EXPECT_EQ(Of("RUNTIME_DEFAULT", "QUIT"), "SIGQUIT");
  EXPECT_EQ(Of("RUNTIME_DEFAULT", "3"), "SIGQUIT");
  EXPECT_EQ(Of("RUNTIME_DEFAULT", "SIGRTMIN+3"), "SIGRTMINPLUS3");
}

TEST(StopSignal, EverySignalOfTheProtocolHasANumber) {
  for (int i = v1::Signal_MIN; i <= v1::Signal_MAX; ++i) {
    if (!v1::Signal_IsValid(i) || i == v1::RUNTIME_DEFAULT) continue;
    EXPECT_TRUE(nspawn::SignalNumber(SignalText(static_cast<v1::Signal>(i)))) << v1::Signal_Name(i);
  }
  EXPECT_EQ(SignalText(Named("SIGRTMAXMINUS2")), "SIGRTMAX-2");
}

}  // namespace
}  // namespace cri
