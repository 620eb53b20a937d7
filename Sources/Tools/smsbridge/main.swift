import CSMSBridgeArguments
import FoundationEssentials
import SMSBridgeSettings
import SMSBridgeTelemetry

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

ignoreWriteSignals()
openStandardDescriptors()
unblockSignals([SIGTERM, SIGINT])

var tool = CommandLineTool(
    name: "smsbridge", summary: "Receives SMSPortal's callbacks and publishes them to Kafka", version: Version.text,
    commands: [
        Serve.command, ConfigCommand.command, Check.command, TopicsCommand.command, Demo.command, Simulate.command,
        Tail.command, Lag.command,
        ReplayCommand.command, ImportCommand.command, DeadLettersCommand.command,
        QuarantineCommand.command, SpoolCommands.command, TemplatesCommand.command,
    ], topics: HelpTopics.all)
tool.columns = Output.columns

/// The arguments, the program's name first. The Swift runtime reads them from /proc, which a chroot may lack.
var arguments = CommandLine.arguments
if arguments.isEmpty {
    arguments = (0..<csmsbridge_argument_count()).compactMap { csmsbridge_argument($0).map { String(cString: $0) } }
}

switch tool.parse(Array(arguments.dropFirst()), environment: ProcessInfo.processInfo.environment) {
case .print(let text):
    Output.text(text)
case .fail(let text, let exitCode):
    Output.error(text)
    exit(exitCode)
case .run(let invocation):
    guard let loaded = invocation.settings else { exit(ExitCode.usage) }
    var problems = loaded.settings.problems(loaded.sources)
    if invocation.readsServerKey, let problem = TLSFiles.problem(loaded.settings) { problems.append(problem) }
    if !problems.isEmpty {
        for problem in problems { Output.error("smsbridge \(invocation.command): \(problem)\n") }
        exit(ExitCode.usage)
    }
    exit(invocation.run())
}
