#include "cni/plugin_result.h"

#include <arpa/inet.h>

#include <algorithm>

#include "base/text.h"

namespace cni {
namespace {

bool IsAddressOf(int family, const std::string& text) {
  in6_addr binary{};
  // inet_pton stops at a NUL, behind which anything could follow.
  return text.find('\0') == std::string::npos && ::inet_pton(family, text.c_str(), &binary) == 1;
}

// "10.1.2.3/24" to "10.1.2.3".
base::Result<std::string> AddressOf(const base::Json& object, const char* member) {
  ASSIGN_OR_RETURN(const std::string text, base::StringMember(object, member));
  const size_t slash = text.find('/');
  std::string address = text.substr(0, slash);
  const uint64_t longest = IsAddressOf(AF_INET, address) ? 32 : IsAddressOf(AF_INET6, address) ? 128 : 0;
  const auto length = slash == std::string::npos ? std::nullopt : base::ParseUnsigned(text.substr(slash + 1));
  if (longest == 0 || !length || *length > longest) {
    return base::InvalidArgument("\"" + base::Printable(text, 64) + "\" is not an address with a prefix length");
  }
  return address;
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

base::Result<std::vector<std::string>> AddressesOf(const base::Json& result, const std::string& interface) {
  std::vector<std::string> addresses;
  // Versions before 0.3.0 know one address of each family.
  for (const char* family : {"ip4", "ip6"}) {
    const auto entry = result.find(family);
    if (entry == result.end() || entry->is_null()) continue;
    if (!entry->is_object()) return base::InvalidArgument("\"" + std::string(family) + "\" is not a JSON object");
    ASSIGN_OR_RETURN(std::string address, AddressOf(*entry, "ip"));
    addresses.push_back(std::move(address));
  }
  const auto entries = result.find("ips");
  if (entries == result.end() || entries->is_null()) return addresses;
  if (!entries->is_array()) return base::InvalidArgument("\"ips\" is not a list");
  for (const base::Json& entry : *entries) {
    if (!entry.is_object()) return base::InvalidArgument("an entry of \"ips\" is not a JSON object");
    ASSIGN_OR_RETURN(std::string address, AddressOf(entry, "address"));
    ASSIGN_OR_RETURN(const bool is_on, IsOn(entry, result, interface));
    if (is_on) addresses.push_back(std::move(address));
  }
  return addresses;
}

std::vector<std::string> AddressesInNamespace(const base::Json& result, const std::string& interface) {
  const auto interfaces = result.find("interfaces");
  if (interfaces == result.end() || !interfaces->is_array()) return {};
  const bool is_there = std::any_of(interfaces->begin(), interfaces->end(), [&](const base::Json& entry) {
    if (!entry.is_object()) return false;
    const auto name = base::StringMember(entry, "name");
    const auto sandbox = base::StringMember(entry, "sandbox");
    return name.ok() && *name == interface && sandbox.ok() && !sandbox->empty();
  });
  if (!is_there) return {};
  auto addresses = AddressesOf(result, interface);
  return addresses.ok() ? *std::move(addresses) : std::vector<std::string>();
}

}  // namespace cni
