#include "cni/plugin_result.h"

#include <arpa/inet.h>

#include "base/text.h"

namespace cni {
namespace {

bool IsAddressOf(int family, const std::string& text) {
  in6_addr binary{};
  // inet_pton stops at a NUL, behind which anything could follow.
  return text.find('\0') == std::string::npos && ::inet_pton(family, text.c_str(), &binary) == 1;
}

// Of "10.1.2.3/24".
base::Result<InterfaceAddress> AddressOf(const base::Json& object, const char* member) {
  ASSIGN_OR_RETURN(const std::string text, base::StringMember(object, member));
  const size_t slash = text.find('/');
  const std::string address = text.substr(0, slash);
  const uint64_t longest = IsAddressOf(AF_INET, address) ? 32 : IsAddressOf(AF_INET6, address) ? 128 : 0;
  const auto length = slash == std::string::npos ? std::nullopt : base::ParseUnsigned(text.substr(slash + 1));
  if (longest == 0 || !length || *length > longest) {
    return base::InvalidArgument("\"" + base::Printable(text, 64) + "\" is not an address with a prefix length");
  }
  return InterfaceAddress{address, static_cast<unsigned>(*length)};
}

// Whether the entry of "ips" belongs to the interface of that name.
base::Result<bool> IsOn(const base::Json& entry, const base::Json& result, const std::string& interface) {
  const auto index = entry.find("interface");
  if (index == entry.end() || index->is_null()) return true;
  const auto interfaces = result.find("interfaces");
  if (!index->is_number_integer() || interfaces == result.end() || !interfaces->is_array() || *index < 0 ||
      *index >= interfaces->size()) {
    return base::InvalidArgument("an address names an interface that is not in \"interfaces\"");
  }
  const base::Json& owner = (*interfaces)[index->get<size_t>()];
  if (!owner.is_object()) return base::InvalidArgument("an entry of \"interfaces\" is not a JSON object");
  ASSIGN_OR_RETURN(const std::string name, base::StringMember(owner, "name"));
  return name == interface;
}

}  // namespace

bool IsAddress(const std::string& text) {
  return IsAddressOf(AF_INET, text) || IsAddressOf(AF_INET6, text);
}

base::Result<std::vector<InterfaceAddress>> InterfaceAddressesOf(const base::Json& result,
                                                                 const std::string& interface) {
  std::vector<InterfaceAddress> addresses;
  // Versions before 0.3.0 know one address of each family.
  for (const char* family : {"ip4", "ip6"}) {
    const auto entry = result.find(family);
    if (entry == result.end() || entry->is_null()) continue;
    if (!entry->is_object()) return base::InvalidArgument("\"" + std::string(family) + "\" is not a JSON object");
    ASSIGN_OR_RETURN(InterfaceAddress address, AddressOf(*entry, "ip"));
    addresses.push_back(std::move(address));
  }
  const auto entries = result.find("ips");
  if (entries == result.end() || entries->is_null()) return addresses;
  if (!entries->is_array()) return base::InvalidArgument("\"ips\" is not a list");
  for (const base::Json& entry : *entries) {
    if (!entry.is_object()) return base::InvalidArgument("an entry of \"ips\" is not a JSON object");
    ASSIGN_OR_RETURN(InterfaceAddress address, AddressOf(entry, "address"));
    ASSIGN_OR_RETURN(const bool is_on, IsOn(entry, result, interface));
    if (is_on) addresses.push_back(std::move(address));
  }
  return addresses;
}

base::Result<std::vector<std::string>> AddressesOf(const base::Json& result, const std::string& interface) {
  ASSIGN_OR_RETURN(std::vector<InterfaceAddress> with_lengths, InterfaceAddressesOf(result, interface));
  std::vector<std::string> addresses;
  addresses.reserve(with_lengths.size());
  for (InterfaceAddress& each : with_lengths) addresses.push_back(std::move(each.address));
  return addresses;
}

}  // namespace cni
