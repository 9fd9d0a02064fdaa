#include "cri/streaming/spdy_headers.h"

#include <algorithm>
#include <array>
#include <new>

namespace cri::streaming {

std::string_view HeaderValue(const Headers& headers, std::string_view name) {
  const auto found =
      std::find_if(headers.begin(), headers.end(), [&](const auto& header) { return header.first == name; });
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

namespace spdy {
namespace {

// The dictionary that both ends start with (section 2.6.10.1): these words, each after its length in four bytes, and
// then a text.
constexpr std::string_view kDictionaryWords[] = {
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
    "origin",
};
constexpr std::string_view kDictionaryText =
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Au"
    "thoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidd"
    "en404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr Ma"
    "y Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,imag"
    "e/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicpri"
    "vatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

void AppendNumber(std::string& out, size_t number) {
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(number >> shift));
}

const std::string& Dictionary() {
  static const std::string dictionary = [] {
    std::string text;
    for (const std::string_view word : kDictionaryWords) {
      AppendNumber(text, word.size());
      text += word;
    }
    return text.append(kDictionaryText);
  }();
  return dictionary;
}

Bytef* Bytes(std::string_view text) {
  // zlib only reads what next_in points to.
  return reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
}

base::Error Malformed(const char* what) {
  return base::InvalidArgument(std::string("malformed SPDY headers: ") + what);
}

// Takes a number of four bytes, or a text after its length, off `block`.
bool TakeNumber(std::string_view& block, size_t& number) {
  if (block.size() < 4) return false;
  number = 0;
  for (const char byte : block.substr(0, 4)) number = number << 8 | static_cast<unsigned char>(byte);
  block.remove_prefix(4);
  return true;
}
bool TakeText(std::string_view& block, std::string_view& text) {
  size_t size = 0;
  if (!TakeNumber(block, size) || size > block.size()) return false;
  text = block.substr(0, size);
  block.remove_prefix(size);
  return true;
}

base::Result<Headers> Parse(std::string_view block) {
  size_t count = 0;
  if (!TakeNumber(block, count)) return Malformed("no count");
  if (count > kMostHeaders) return Malformed("too many");
  Headers headers;
  headers.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    std::string_view name;
    std::string_view value;
    if (!TakeText(block, name) || !TakeText(block, value)) return Malformed("the block ends within a header");
    if (name.empty()) return Malformed("an empty name");
    const auto is_upper = [](char c) { return c >= 'A' && c <= 'Z'; };
    if (std::any_of(name.begin(), name.end(), is_upper)) return Malformed("a name in upper case");
    if (!HeaderValue(headers, name).empty()) return Malformed("a name twice");
    headers.emplace_back(name, value.substr(0, value.find('\0')));
  }
  if (!block.empty()) return Malformed("bytes after the last header");
  return headers;
}

}  // namespace

void HeaderDecompressor::End::operator()(z_stream* stream) const {
  ::inflateEnd(stream);
  delete stream;
}

base::Result<Headers> HeaderDecompressor::Decompress(std::string_view block) {
  if (!stream_) {
    stream_.reset(new z_stream{});
    if (::inflateInit(stream_.get()) != Z_OK) throw std::bad_alloc();
  }
  std::string text(kMostHeaderBytes, '\0');
  stream_->next_in = Bytes(block);
  stream_->avail_in = static_cast<uInt>(block.size());
  stream_->next_out = reinterpret_cast<Bytef*>(text.data());
  stream_->avail_out = static_cast<uInt>(text.size());
  int result = ::inflate(stream_.get(), Z_SYNC_FLUSH);
  if (result == Z_NEED_DICT) {
    const std::string& dictionary = Dictionary();
    if (::inflateSetDictionary(stream_.get(), Bytes(dictionary), static_cast<uInt>(dictionary.size())) != Z_OK) {
      return Malformed("compressed with another dictionary");
    }
    result = ::inflate(stream_.get(), Z_SYNC_FLUSH);
  }
  // Z_BUF_ERROR says only that there was nothing to do, as with an empty block.
  if (result != Z_OK && result != Z_BUF_ERROR) return Malformed("the compression is broken");
  if (stream_->avail_out == 0) return Malformed("larger than 16 KiB");
  if (stream_->avail_in != 0) return Malformed("the compression is broken");
  text.resize(text.size() - stream_->avail_out);
  return Parse(text);
}

void HeaderCompressor::End::operator()(z_stream* stream) const {
  ::deflateEnd(stream);
  delete stream;
}

// The smallest window that holds the dictionary: the server sends no headers worth compressing, and zlib's default
// would take 256 KiB for each connection.
HeaderCompressor::HeaderCompressor() : stream_(new z_stream{}) {
  constexpr int window_bits = 11;
  constexpr int memory_level = 1;
  if (::deflateInit2(stream_.get(), Z_BEST_SPEED, Z_DEFLATED, window_bits, memory_level, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::bad_alloc();
  }
  const std::string& dictionary = Dictionary();
  ::deflateSetDictionary(stream_.get(), Bytes(dictionary), static_cast<uInt>(dictionary.size()));
}

std::string HeaderCompressor::Compress(const Headers& headers) {
  std::string text;
  AppendNumber(text, headers.size());
  for (const auto& [name, value] : headers) {
    AppendNumber(text, name.size());
    text += name;
    AppendNumber(text, value.size());
    text += value;
  }
  std::string block;
  stream_->next_in = Bytes(text);
  stream_->avail_in = static_cast<uInt>(text.size());
  do {
    std::array<char, 512> part{};
    stream_->next_out = reinterpret_cast<Bytef*>(part.data());
    stream_->avail_out = part.size();
    ::deflate(stream_.get(), Z_SYNC_FLUSH);
    block.append(part.data(), part.size() - stream_->avail_out);
  } while (stream_->avail_out == 0);
  return block;
}

}  // namespace spdy
}  // namespace cri::streaming
