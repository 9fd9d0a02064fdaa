// Builds tar archives in memory, including ones that no honest tool writes.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <functional>
#include <memory>
#include <string>

namespace image {

enum class Compression { kNone, kGzip, kZstd };

class TarBuilder {
 public:
  explicit TarBuilder(Compression compression = Compression::kNone, const std::string& format = "pax");
  ~TarBuilder();
  TarBuilder(const TarBuilder&) = delete;
  TarBuilder& operator=(const TarBuilder&) = delete;

  // Changes an entry before it is written.
  using Change = std::function<void(archive_entry*)>;

  TarBuilder& Directory(const std::string& name, unsigned mode = 0755, const Change& change = {});
  TarBuilder& File(const std::string& name, const std::string& content, unsigned mode = 0644,
                   const Change& change = {});
  TarBuilder& Symlink(const std::string& name, const std::string& target, const Change& change = {});
  TarBuilder& HardLink(const std::string& name, const std::string& target);
  // `type` is AE_IFCHR, AE_IFBLK or AE_IFIFO.
  TarBuilder& Special(const std::string& name, unsigned type, unsigned major, unsigned minor, unsigned mode = 0644);

  // The archive; call it once.
  std::string Finish();

 private:
  TarBuilder& Add(const std::string& name, unsigned type, unsigned mode, const std::string& content,
                  const Change& change, const Change& second = {});

  archive* writer_;
  std::unique_ptr<std::string> out_ = std::make_unique<std::string>();
};

// The same content compressed.
std::string Compress(const std::string& content, Compression compression);

}  // namespace image
