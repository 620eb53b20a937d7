#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#else
internal import Darwin
#endif

extension MetricRegistry {
    /// Adds the conventional `process_*` metrics, read at every rendering.
    ///
    /// On Linux they come from /proc; elsewhere from `getrusage` and /dev/fd. What the system does not tell is left
    /// out rather than shown as zero.
    package func addProcessMetrics() {
        let first = ProcessFigures.read()
        let cpu = counter(
            "process_cpu_seconds_total", help: "Total user and system CPU time spent in seconds.",
            divisor: 1_000_000_000)
        let start = first.startSeconds.map { _ in
            gauge("process_start_time_seconds", help: "Start time of the process since unix epoch in seconds.")
        }
        let resident = first.residentBytes.map { _ in
            gauge("process_resident_memory_bytes", help: "Resident memory size in bytes.")
        }
        let virtual = first.virtualBytes.map { _ in
            gauge("process_virtual_memory_bytes", help: "Virtual memory size in bytes.")
        }
        let threads = first.threads.map { _ in
            gauge("process_threads", help: "Number of OS threads in the process.")
        }
        let open = first.openDescriptors.map { _ in
            gauge("process_open_fds", help: "Number of open file descriptors.")
        }
        let maximum = first.maximumDescriptors.map { _ in
            gauge("process_max_fds", help: "Maximum number of open file descriptors.")
        }
        collect {
            let figures = ProcessFigures.read()
            cpu.raise(to: figures.cpuNanoseconds)
            if let value = figures.startSeconds { start?.set(value) }
            if let value = figures.residentBytes { resident?.set(value) }
            if let value = figures.virtualBytes { virtual?.set(value) }
            if let value = figures.threads { threads?.set(value) }
            if let value = figures.openDescriptors { open?.set(value) }
            if let value = figures.maximumDescriptors { maximum?.set(value) }
        }
    }

    /// Adds a gauge that is always 1 and whose labels say what runs: `smsbridge_build_info{version="…"} 1`.
    package func addBuildInfo(_ labels: [(String, String)], name: String = "smsbridge_build_info") {
        gauge(name, help: "What is running: the labels say it, the value is always 1.", labels: labels).set(1)
    }
}

/// What the system tells about this process.
struct ProcessFigures {
    var cpuNanoseconds: UInt64 = 0
    var startSeconds: Double?
    var residentBytes: Double?
    var virtualBytes: Double?
    var threads: Double?
    var openDescriptors: Double?
    var maximumDescriptors: Double?

    static func read() -> ProcessFigures {
        var figures = ProcessFigures()
        var usage = rusage()
        #if canImport(Glibc)
        let asked = getrusage(RUSAGE_SELF.rawValue, &usage)
        #else
        let asked = getrusage(RUSAGE_SELF, &usage)
        #endif
        if asked == 0 {
            for time in [usage.ru_utime, usage.ru_stime] {
                figures.cpuNanoseconds &+= UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_usec) &* 1_000
            }
        }
        if let stat = readSmallFile("/proc/self/stat") { figures.take(stat: stat) }
        figures.openDescriptors = countDescriptors()
        figures.maximumDescriptors = descriptorLimit()
        return figures
    }

    /// Fields of proc_pid_stat(5). The second one, the command's name, may hold spaces and parentheses: the fields are
    /// counted from its last closing parenthesis.
    mutating func take(stat: [UInt8]) {
        guard let end = stat.lastIndex(of: UInt8(ascii: ")")) else { return }
        let text = String(decoding: stat[(end + 1)...], as: UTF8.self)
        let fields = text.split { $0 == " " || $0 == "\n" }.map { Double($0) }
        // The first of these is field 3 (state).
        func field(_ number: Int) -> Double? { number - 3 < fields.count ? fields[number - 3] : nil }
        threads = field(20)
        virtualBytes = field(23)
        residentBytes = field(24).map { $0 * Double(sysconf(Int32(_SC_PAGESIZE))) }
        let ticksPerSecond = Double(sysconf(Int32(_SC_CLK_TCK)))
        if let ticks = field(22), ticksPerSecond > 0, let boot = Self.bootSeconds() {
            startSeconds = boot + ticks / ticksPerSecond
        }
    }

    /// The line `btime` of /proc/stat: when the system started, in seconds since 1970.
    private static func bootSeconds() -> Double? {
        guard let stat = readSmallFile("/proc/stat", limit: 1 << 20) else { return nil }
        for line in stat.split(separator: UInt8(ascii: "\n")) where line.starts(with: "btime ".utf8) {
            return Double(String(decoding: line.dropFirst(6), as: UTF8.self))
        }
        return nil
    }

    private static func countDescriptors() -> Double? {
        guard let directory = opendir("/dev/fd") else { return nil }
        defer { closedir(directory) }
        var count = -1  // the directory's own descriptor
        while let entry = readdir(directory) {
            // Names are numbers, but for "." and "..".
            if entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 }
        }
        return Double(count)
    }

    private static func descriptorLimit() -> Double? {
        var limit = rlimit()
        #if canImport(Glibc)
        let asked = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        #else
        let asked = getrlimit(RLIMIT_NOFILE, &limit)
        #endif
        return asked == 0 ? Double(limit.rlim_cur) : nil
    }
}
