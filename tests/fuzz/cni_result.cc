#include "cni/plugin_result.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto document = base::ParseJsonObject(fuzz::Text(data, size));
  if (!document.ok()) return 0;
  (void)base::JsonText(*document);
  const auto addresses = cni::AddressesOf(*document, "eth0");
  if (!addresses.ok()) return 0;
  for (const std::string& address : *addresses) fuzz::Require(cni::IsAddress(address), "an address is one");
  return 0;
}
