#include "nspawn/log_record.h"

#include <string>

#include "tests/fuzz/fuzz.h"

// Takes the input in one piece and checks the records against it.
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static nspawn::RecordFormatter formatter;
  std::string_view input = fuzz::Text(data, size);
  std::string text;  // the input without the "\r" that belong to line ends, taken from the records
  while (!input.empty()) {
    const size_t taken = formatter.Format(nspawn::LogStream::kStdout, 1'700'000'000'000'000'000, input, true);
    fuzz::Require(taken > 0 && taken <= input.size(), "every batch takes some of the input");
    input.remove_prefix(taken);
    std::string_view records = formatter.records();
    while (!records.empty()) {
      const size_t end = records.find('\n');
      fuzz::Require(end != std::string_view::npos, "records are whole");
      const std::string_view record = records.substr(0, end);
      records.remove_prefix(end + 1);
      const size_t stream = record.find(" stdout ");
      fuzz::Require(stream != std::string_view::npos && record.size() >= stream + 10, "a record has its fields");
      const char tag = record[stream + 8];
      const std::string_view line = record.substr(stream + 10);
      fuzz::Require((tag == 'F' || tag == 'P') && record[stream + 9] == ' ', "a record is tagged");
      fuzz::Require(line.size() <= nspawn::kMostRecordText, "a record is of bounded length");
      text += line;
      if (tag == 'F') text += '\n';
    }
  }
  std::string expected;
  for (const char c : fuzz::Text(data, size)) {
    if (c == '\n' && expected.ends_with('\r')) expected.pop_back();
    expected += c;
  }
  fuzz::Require(text == expected, "the records hold what was written");
  return 0;
}
