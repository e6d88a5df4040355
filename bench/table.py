"""The figures of bench/run.py as a table for people.

Budgets are those of the design: a line says whether it holds.  Nothing here measures.
"""

SIZES = (80, 1024, 8192)
RINGS = ("ideal_ring", "ideal_ring_batched", "ringlog")
PEERS = ("unix_stream_batched", "boost_mq", "zmq_ipc", "pipe", "unix_stream", "unix_seqpacket",
         "posix_mq", "lttng_ust", "sqlite_wal")

# (figure, what it is, budget or None).  A budget is a number, the name of another figure, or a
# tuple ("at least", number).
LOGGING = [
    ("ideal_ring_80.p50_ns", "bare ring, 80 bytes", None),
    ("ideal_ring_80.mean_ns", "  mean", None),
    ("row_clock.ns", "a row's timestamp, mean", None),
    ("row_log_4.p50_ns", "row.log of 4 doubles", None),
    ("row_log_4.p99_ns", "  99 %", None),
    ("row_log_4.p999_ns", "  99.9 %", 2000),
    ("row_log_4.max_ns", "  slowest of all rounds", None),
    ("row_log_4.mean_ns", "  mean", None),
    ("row_log_4.p50_to_ideal_ratio", "  without the timestamp, to the bare ring", 2),
    ("row_log_4.mean_to_ideal_ratio", "  the same of the means", 2),
    ("row_log_4.threads_4_ns", "row.log, four threads at once", None),
    ("row_log_4.threads_4_p999_ns", "  99.9 %", None),
    ("run_log_1.p50_ns", "run.log of 1 key", None),
    ("run_log_1.p99_ns", "  99 %", None),
    ("run_log_4.p50_ns", "run.log of 4 keys", 200),
    ("run_log_4.p99_ns", "  99 %", None),
    ("run_log_16.p50_ns", "run.log of 16 keys", None),
    ("run_log_16.p99_ns", "  99 %", None),
    ("should_stop.ns", "should_stop()", None),
    ("should_stop_step.ns", "  should_stop(step)", None),
    ("summary_read.ns", "the live summary of 4 metrics, read", None),
    ("syscalls_per_million_rows", "system calls per million rows", 0),
]
SERVICE = [
    ("mailbox_rtt.p50_us", "request and answer, mailbox", "unix_socket_rtt.p50_us"),
    ("mailbox_rtt.p99_us", "  99 %", "unix_socket_rtt.p99_us"),
    ("unix_socket_rtt.p50_us", "the same bytes, Unix socket", None),
    ("unix_socket_rtt.p99_us", "  99 %", None),
    ("futex_rtt.p50_us", "a futex and back", None),
    ("control_rtt.p50_us", "the service's control socket", None),
    ("init_cold.ms", "first init(), starting the service", 100),
    ("attach_64.ms", "64 ranks attach", 1000),
    ("idle_64.cpu_percent", "service with 64 idle ranks, CPU %", 0.5),
    ("idle_64.rss_mb", "  memory beyond the rings, MiB", 64),
    ("idle_64.rings_mb", "  rings it has touched, MiB", None),
    ("children_1000.ms", "1,000 forked children log a row each, ms", None),
    ("monitor.cpu_percent", "sampling the machine each second, CPU %", 0.5),
    ("monitor_8_gpus.cpu_percent", "  with 8 GPUs of a fake driver", 0.5),
    ("exec.overhead_percent", "exec: a million lines take longer, %", None),
    ("exec.buffered_overhead_percent", "  printed in pieces of 8 KiB", None),
]
STORING = [
    ("store_8x4.rows_per_s", "rows stored per second, 8 × 4 doubles", ("at least", 4e6)),
    ("store_8x4.bytes_per_row", "  bytes on disk per row", None),
    ("drain.ns_per_row", "  CPU of the drain thread, ns a row", None),
    ("store.ns_per_row", "  CPU of the store thread, ns a row", None),
    ("service.cpu_ns_per_row", "  CPU of the whole service, ns a row", None),
    ("store_8x4.cpu_s_per_gb", "  the same, seconds a GB of ring bytes", None),
    ("store_8x100.values_per_s", "values stored per second, 8 × 100 doubles", None),
    ("store_8x100.cpu_s_per_gb", "  CPU of the service, seconds a GB", None),
    ("store.cpu_s_per_gb", "both, until the runs are put away, seconds a GB", None),
    ("store.write_amplification", "  bytes written per byte that stays", None),
    ("recovery_1m_rows_ms", "1 M rows and full rings stored after a kill, ms", None),
    ("recovery_1m_rows.ready_ms", "  the new service answers", None),
]
SINKS = [
    ("clickhouse.rows_per_s", "`ringlog sync` to ClickHouse, rows of 4 doubles per second", None),
    ("clickhouse.client_rows_per_s", "  the same points by clickhouse-client", None),
    ("influx.points_per_s", "`ringlog sync` to InfluxDB, rows of 4 doubles per second", None),
    ("influx.curl_points_per_s", "  the same lines by curl", None),
    ("wandb.rows_per_s", "`ringlog sync` to a W&B server, rows of 4 doubles per second", None),
    ("wandb.client_rows_per_s", "  the same run by `wandb sync`", None),
    ("sinks.none_cpu_percent", "service, 10,000 rows a second, no sink, CPU %", None),
    ("sinks.down_cpu_percent", "  its sink is down", None),
    ("sinks.none_rss_mb", "its own memory after a burst, no sink, MiB", None),
    ("sinks.down_rss_mb", "  ten times the rows, its sink is down", None),
    ("sinks.catch_up_rows_per_s", "the sink comes up: rows per second", None),
    ("sinks.catch_up_cpu_percent", "  CPU of the service, %", None),
    ("sinks.catch_up_rss_mb", "  its own memory, MiB", None),
]
# Of 10 million rows in the full form, of fewer in the others, and then named so.
READING = [
    ("read.1000_points_of_{}_ms", "1,000 points of one metric of {}, slowest range, ms", 100),
    ("read.whole.1000_points_of_{}_ms", "  all rows", None),
    ("read.tenth.start.1000_points_of_{}_ms", "  a tenth, at the start", None),
    ("read.tenth.middle.1000_points_of_{}_ms", "  in the middle", None),
    ("read.tenth.end.1000_points_of_{}_ms", "  at the end", None),
    ("read.thousandth.start.1000_points_of_{}_ms", "  a thousandth, at the start", None),
    ("read.thousandth.middle.1000_points_of_{}_ms", "  in the middle", None),
    ("read.thousandth.end.1000_points_of_{}_ms", "  at the end", None),
    ("read.first_1000_points_of_{}_ms", "  open and all rows", None),
    ("read.scan_mb_per_s", "a table of 100 metrics, MB of cells per second", None),
    ("open_1m_rows_ms", "open, metrics and processes of 1 M rows, ms", None),
]
SIZES_ON_DISK = [
    ("store", "ringlog"), ("sqlite", "SQLite, one table"), ("tfevents", "TensorBoard event files"),
    ("csv", "CSV"), ("wandb", "`.wandb`"), ("jsonl", "JSON Lines"),
]
FULL_RING = [
    ("attempted_rows_per_s", "rows logged per second"),
    ("stored_rows_per_s", "rows stored per second"),
    ("dropped_percent", "rows dropped, %"),
    ("blocked_percent", "time in calls above 20 µs, %"),
    ("p50_ns", "a call: 50 %, ns"),
    ("p99_us", "  99 %, µs"),
    ("p999_us", "  99.9 %, µs"),
    ("max_ms", "  slowest, ms"),
]


def number(value: object) -> str:
    """Three digits that matter, thousands apart."""
    if not isinstance(value, (int, float)):
        return "-"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(figures: dict, name: str) -> str:
    """Lowest and highest round."""
    low, high = figures.get(f"{name}.lowest"), figures.get(f"{name}.highest")
    return "" if low is None else f"{number(low)} … {number(high)}"


def verdict(figures: dict, name: str, budget: object) -> str:
    """What was promised, and whether it holds."""
    value = figures.get(name)
    if budget is None or value is None:
        return ""
    if isinstance(budget, str):
        budget = figures.get(budget)
        if budget is None:
            return ""
    if isinstance(budget, tuple):
        return f"≥ {number(budget[1])}  {'holds' if value >= budget[1] else 'MISSED'}"
    return f"≤ {number(budget)}  {'holds' if value <= budget else 'MISSED'}"


def lines(rows: list[list[str]], left: int = 1) -> list[str]:
    """Columns as wide as what is in them; the first `left` of them aligned to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) if i < left else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(row, widths))).rstrip()
            for row in rows]


def budgeted(figures: dict, title: str, wanted: list) -> list[str]:
    """A section of single figures."""
    rows = [[title, "median", "rounds", "budget"]]
    for name, text, budget in wanted:
        rows.append([text, number(figures.get(name)), spread(figures, name),
                     verdict(figures, name, budget)])
    return lines(rows) + [""]


def transports(figures: dict) -> list[str]:
    """Every transport by size, then what each lacks."""
    titles = [f"{size} B" if size < 1024 else f"{size // 1024} KiB" for size in SIZES]
    head = ["bytes between two processes", *[f"{title}, ns" for title in titles],
            "rounds at 80 B", "× ideal", *[f"CPU s/GB {title}" for title in titles]]
    rows = [head]
    ideal = figures.get("ideal_ring_80.ns_per_record")
    present = [p for p in (*RINGS, *PEERS) if f"{p}_80.ns_per_record" in figures]
    for peer in present:
        at_80 = figures[f"{peer}_80.ns_per_record"]
        rows.append([peer, *[number(figures.get(f"{peer}_{s}.ns_per_record")) for s in SIZES],
                     spread(figures, f"{peer}_80.ns_per_record"),
                     number(at_80 / ideal) if ideal else "-",
                     *[number(figures.get(f"{peer}_{s}.cpu_s_per_gb")) for s in SIZES]])
    result = lines(rows)
    for size, title in zip(SIZES, titles):
        others = {p: figures[f"{p}_{size}.ns_per_record"] for p in PEERS
                  if f"{p}_{size}.ns_per_record" in figures}
        mine = figures.get(f"ringlog_{size}.ns_per_record")
        if mine and others:
            best = min(others, key=others.get)
            result.append(f"{title}: fewer ns than every peer  "
                          f"{'holds' if mine < others[best] else 'MISSED'} "
                          f"(best: {best}, {number(others[best] / mine)} × ringlog)")
    result.append("")
    for peer in present:
        result.append(f"{peer}: {figures.get(f'{peer}.settings', '')}; "
                      f"it does not offer: {figures.get(f'{peer}.lacks', '')}")
    for peer in PEERS:
        if f"{peer}.missing" in figures:
            result.append(f"{peer}: not measured, {figures[f'{peer}.missing']}")
    return result + [""]


def reading(figures: dict) -> list[str]:
    """What readers wait for, of the run that this plan wrote."""
    prefix, suffix = "read.1000_points_of_", "_ms"
    rows = [name[len(prefix):-len(suffix)] for name in figures
            if name.startswith(prefix) and name.endswith(suffix)]
    wanted = [(name.format(count), text.format(count), budget if count == "10m" else None)
              for count in rows or ["10m"] for name, text, budget in READING]
    return budgeted(figures, "reading, all in memory", wanted)


def sizes_on_disk(figures: dict) -> list[str]:
    """The same rows of training in everybody's files."""
    name = "{}.bytes_per_row_4_float32"
    rows = [["a row of training on disk: step, time, 4 float32", "bytes", "× ringlog", "budget"]]
    mine = figures.get(name.format("store"))
    for peer, text in SIZES_ON_DISK:
        value = figures.get(name.format(peer))
        rows.append([text, number(value), number(value / mine) if value and mine else "-",
                     verdict(figures, name.format(peer), 14 if peer == "store" else None)])
    text = f"{number(figures.get('bytes_per_row.rows'))} rows; as the example logs them, 5 float64"
    rows.append([text, number(figures.get("store.bytes_per_row_example")), "", ""])
    return lines(rows) + [""]


def full_ring(figures: dict) -> list[str]:
    """What happens to a producer that never pauses."""
    policies = ("wait", "drop", "coalesce")
    rows = [["a producer that never pauses", *policies]]
    for name, text in FULL_RING:
        rows.append([text, *[number(figures.get(f"full_ring.{p}.{name}")) for p in policies]])
    return lines(rows) + [""]


def pieces(figures: dict) -> list[str]:
    """Parts of the hot path, in CPU time."""
    rows = [["pieces, one process, CPU time", "ns", "rounds"]]
    for name in sorted(figures):
        if name.startswith("piece.") and name.endswith(".ns"):
            rows.append([name[len("piece."):-len(".ns")], number(figures[name]),
                         spread(figures, name)])
    return lines(rows) + [""] if len(rows) > 1 else []


def render(figures: dict) -> str:
    """The whole table."""
    head = [
        f"{figures.get('machine.cpu', 'unknown processor')}, {number(figures.get('machine.cpus'))} "
        f"processors, {figures.get('machine.kernel', '')}; cache line to the other core and back "
        f"{number(figures.get('machine.cacheline_rtt_ns'))} ns "
        f"({spread(figures, 'machine.cacheline_rtt_ns')})",
        f"ringlog {figures.get('bench.commit')}, {figures.get('bench.rounds')} rounds, "
        f"{figures.get('bench.date')}, load of the machine {number(figures.get('machine.load'))}",
        "",
    ]
    title = "logging, ns a call, service storing, all cores busy"
    result = head + budgeted(figures, title, LOGGING)
    result += transports(figures)
    result += budgeted(figures, "the service", SERVICE)
    result += budgeted(figures, "storing, 8 processes and the service on 2 cores", STORING)
    result += budgeted(figures, "sinks, servers on the same cores", SINKS)
    result += sizes_on_disk(figures)
    result += reading(figures)
    result += full_ring(figures)
    result += pieces(figures)
    if "syscalls.missing" in figures:
        result.append(f"system calls were not counted: {figures['syscalls.missing']}")
    return "\n".join(result).rstrip()
