#include "cni/configuration.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto document = base::ParseJsonObject(fuzz::Text(data, size));
  if (!document.ok()) return 0;
  const auto configuration = cni::ParseConfiguration(*std::move(document));
  if (!configuration.ok()) return 0;
  for (const cni::Plugin& plugin : configuration->plugins) {
    fuzz::Require(plugin.type.find('/') == std::string::npos, "a plugin's type is a plain file name");
  }
  fuzz::Require(cni::ParseConfiguration(configuration->document).ok(), "what was accepted is accepted again");
  return 0;
}
