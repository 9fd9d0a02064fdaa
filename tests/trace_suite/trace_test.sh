# Traces in OpenTelemetry's own collector, of the daemon's calls and of stock crictl's.
# shellcheck shell=bash disable=SC2034,SC2154

journal_of=(-u cri-nspawn.service -u collector.service)

start_collector() {
  systemd-run --quiet --unit=collector --collect -- /usr/local/bin/collector --config "file:$PWD/collector.yaml"
  eventually 20 bash -c ': </dev/tcp/127.0.0.1/4317'
}

before_file() {
  start_collector
  printf '[tracing]\nendpoint = "127.0.0.1:4317"\n' >/etc/cri-nspawn/config.toml
  systemctl restart cri-nspawn.service
}
after_file() {
  systemctl stop collector.service
  rm /etc/cri-nspawn/config.toml
  systemctl restart cri-nspawn.service
}

before_test() {
  crictl pull "$base"
  began=$(date '+%Y-%m-%d %H:%M:%S.%N')
}

printed() { journalctl -u collector.service -o cat --no-pager --since "$began"; }

# spans writes a line for each span that the collector has printed: service, trace, span, parent or "-", kind, name.
spans() {
  printed | awk '
    /-> service.name: Str\(/ { service = $0; sub(/.*Str\(/, "", service); sub(/\).*/, "", service) }
    /^ *Trace ID +:/ { trace = $NF }
    /^ *Parent ID +:/ { parent = $NF == ":" ? "-" : $NF }
    /^ *ID +:/ { id = $NF }
    /^ *Name +:/ { name = $0; sub(/^ *Name +: */, "", name) }
    /^ *Kind +:/ { print service, trace, id, parent, $NF, name }'
}

# one_span PATTERN prints the span whose line matches; there is one.
one_span() {
  local found
  found=$(spans | grep -E -- "$1") || fail "no span matches $1"
  equals 1 "$(wc -l <<<"$found")" "the number of spans that match $1"
  printf '%s\n' "$found"
}
has_span() { spans | grep -Eq -- "$1"; }

asked_and_traced() {
  crictl version
  has_span '^cri-nspawnd .* Server Version$'
}

test_a_start_is_one_trace_for_each_call_with_what_it_waited_for_below_it() {
  local pod call trace
  pod=$(pod traced)
  started traced "$pod" main >/dev/null
  for call in RunPodSandbox CreateContainer StartContainer; do
    eventually 10 has_span "^cri-nspawnd .* Server $call\$"
    # crictl does not trace: the daemon's span is the trace's first.
    read -r _ trace _ <<<"$(one_span "^cri-nspawnd [0-9a-f]{32} [0-9a-f]{16} - Server $call\$")"
    case $call in
      RunPodSandbox) one_span "^cri-nspawnd $trace [0-9a-f]+ [0-9a-f]+ Client bus StartTransientUnit\$" ;;
      CreateContainer) has_span "^cri-nspawnd $trace [0-9a-f]+ [0-9a-f]+ Internal disk write record\$" ;;
      StartContainer) one_span "^cri-nspawnd $trace [0-9a-f]+ [0-9a-f]+ Client bus StartUnit\$" ;;
    esac
  done
  # Each parent is a span of the same trace, and was sent too.
  spans | awk '{ trace[$3] = $2; if ($4 != "-") { parent[$3] = $4 } }
    END { for (span in parent) if (trace[parent[span]] != trace[span]) { print span, "has a parent elsewhere"; bad = 1 }
          exit bad }'
}

test_a_call_of_a_client_that_traces_is_in_its_trace() {
  local trace span
  crictl --enable-tracing --tracing-endpoint 127.0.0.1:4317 version >/dev/null
  eventually 10 has_span ' Client runtime.v1.RuntimeService/Version$'
  while read -r _ trace span _; do
    eventually 10 has_span "^cri-nspawnd $trace [0-9a-f]{16} $span Server Version\$"
  done < <(spans | grep ' Client runtime.v1.RuntimeService/Version$')
}

test_an_error_is_in_its_span() {
  refused 'not found' crictl inspectp no-such-pod
  eventually 10 has_span '^cri-nspawnd .* Server PodSandboxStatus$'
  contains "$(printed | grep -A12 'Name .*: PodSandboxStatus')" 'Status code +: Error'
}

test_a_collector_that_is_away_holds_nothing_up() {
  local pod
  systemctl stop collector.service
  pod=$(pod untraced)
  started untraced "$pod" main >/dev/null
  start_collector
  eventually 20 asked_and_traced
}
