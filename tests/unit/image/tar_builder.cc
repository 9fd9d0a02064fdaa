#include "tar_builder.h"

#include <stdexcept>

namespace image {
namespace {

la_ssize_t Append(archive*, void* context, const void* data, size_t size) {
  static_cast<std::string*>(context)->append(static_cast<const char*>(data), size);
  return static_cast<la_ssize_t>(size);
}

void Require(archive* writer, int outcome) {
  if (outcome < ARCHIVE_WARN) throw std::runtime_error(archive_error_string(writer));
}

void AddFilter(archive* writer, Compression compression) {
  if (compression == Compression::kGzip) {
    Require(writer, archive_write_add_filter_gzip(writer));
    // Without the current time the same content has the same digest.
    Require(writer, archive_write_set_filter_option(writer, "gzip", "timestamp", nullptr));
  }
  if (compression == Compression::kZstd) Require(writer, archive_write_add_filter_zstd(writer));
}

}  // namespace

TarBuilder::TarBuilder(Compression compression, const std::string& format) : writer_(archive_write_new()) {
  AddFilter(writer_, compression);
  Require(writer_, archive_write_set_format_by_name(writer_, format.c_str()));
  Require(writer_, archive_write_set_bytes_in_last_block(writer_, 1));
  Require(writer_, archive_write_open(writer_, out_.get(), nullptr, &Append, nullptr));
}

TarBuilder::~TarBuilder() {
  archive_write_free(writer_);
}

TarBuilder& TarBuilder::Add(const std::string& name, unsigned type, unsigned mode, const std::string& content,
                            const Change& change, const Change& second) {
  const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(), &archive_entry_free);
  archive_entry_set_pathname(entry.get(), name.c_str());
  archive_entry_set_filetype(entry.get(), type);
  archive_entry_set_perm(entry.get(), static_cast<mode_t>(mode));
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(content.size()));
  archive_entry_set_mtime(entry.get(), 1'600'000'000, 0);
  if (change) change(entry.get());
  if (second) second(entry.get());
  Require(writer_, archive_write_header(writer_, entry.get()));
  if (!content.empty() && archive_write_data(writer_, content.data(), content.size()) < 0) {
    throw std::runtime_error(archive_error_string(writer_));
  }
  return *this;
}

TarBuilder& TarBuilder::Directory(const std::string& name, unsigned mode, const Change& change) {
  return Add(name, AE_IFDIR, mode, "", change);
}

TarBuilder& TarBuilder::File(const std::string& name, const std::string& content, unsigned mode, const Change& change) {
  return Add(name, AE_IFREG, mode, content, change);
}

TarBuilder& TarBuilder::Symlink(const std::string& name, const std::string& target, const Change& change) {
  return Add(
      name, AE_IFLNK, 0777, "", [&](archive_entry* entry) { archive_entry_set_symlink(entry, target.c_str()); },
      change);
}

TarBuilder& TarBuilder::HardLink(const std::string& name, const std::string& target) {
  return Add(name, AE_IFREG, 0644, "",
             [&](archive_entry* entry) { archive_entry_set_hardlink(entry, target.c_str()); });
}

TarBuilder& TarBuilder::Special(const std::string& name, unsigned type, unsigned major, unsigned minor, unsigned mode) {
  return Add(name, type, mode, "", [&](archive_entry* entry) {
    archive_entry_set_rdevmajor(entry, major);
    archive_entry_set_rdevminor(entry, minor);
  });
}

std::string TarBuilder::Finish() {
  Require(writer_, archive_write_close(writer_));
  return *out_;
}

std::string Compress(const std::string& content, Compression compression) {
  if (compression == Compression::kNone) return content;
  std::string out;
  const std::unique_ptr<archive, decltype(&archive_write_free)> writer(archive_write_new(), &archive_write_free);
  AddFilter(writer.get(), compression);
  Require(writer.get(), archive_write_set_format_raw(writer.get()));
  Require(writer.get(), archive_write_set_bytes_in_last_block(writer.get(), 1));
  Require(writer.get(), archive_write_open(writer.get(), &out, nullptr, &Append, nullptr));
  const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(), &archive_entry_free);
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  Require(writer.get(), archive_write_header(writer.get(), entry.get()));
  if (archive_write_data(writer.get(), content.data(), content.size()) < 0) {
    throw std::runtime_error(archive_error_string(writer.get()));
  }
  Require(writer.get(), archive_write_close(writer.get()));
  return out;
}

}  // namespace image
