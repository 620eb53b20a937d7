internal import CSMSBridgeRDKafka

/// A topic to be made.
package struct NewTopic: Sendable {
    package var name: String
    package var partitions: Int32
    /// Copies of each partition; -1 for the cluster's default.
    package var replication: Int32
    /// The topic's own configuration, such as `retention.ms`.
    package var configuration: [String: String]

    package init(name: String, partitions: Int32, replication: Int32, configuration: [String: String] = [:]) {
        self.name = name
        self.partitions = partitions
        self.replication = replication
        self.configuration = configuration
    }
}

/// What configuration is asked for.
package enum ConfigurationResource: Sendable, Hashable {
    case topic(String)
    case broker(Int32)
}

/// Administers a cluster. Every call blocks its thread until the cluster answers or the time is over.
package final class Admin {
    package let client: Client
    let queue: OpaquePointer
    private var isClosed = false

    package init(_ configuration: ClientConfiguration) throws(KafkaError) {
        let conf = try ClientConf(configuration, events: RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG)
        // A question about a topic by its name must not make it, on clusters that make topics by themselves.
        try conf.set("allow.auto.create.topics", "false")
        client = try conf.makeClient(RD_KAFKA_PRODUCER)
        _ = rd_kafka_set_log_queue(client.handle, nil)
        queue = rd_kafka_queue_new(client.handle)
    }

    deinit {
        assert(isClosed, "an admin client is closed by its owner before it goes")
    }

    /// Ends the client; blocks.
    package func close() {
        guard !isClosed else { return }
        isClosed = true
        rd_kafka_queue_destroy(queue)
        client.destroy()
    }

    /// The last errors that the client has met by itself (a refused login, a name that does not resolve), which a call
    /// that timed out does not tell.
    package func recentErrors() -> [KafkaError] {
        var errors: [KafkaError] = []
        guard let main = rd_kafka_queue_get_main(client.handle) else { return [] }
        defer { rd_kafka_queue_destroy(main) }
        while let event = rd_kafka_queue_poll(main, 0) {
            defer { rd_kafka_event_destroy(event) }
            guard rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR else { continue }
            errors.append(
                KafkaError(
                    rd_kafka_event_error(event), rd_kafka_event_error_string(event).map { String(cString: $0) }))
        }
        return errors
    }

    /// Makes topics.
    ///
    /// - Parameters:
    ///   - validatesOnly: only asks whether they could be made.
    ///   - timeout: milliseconds.
    /// - Returns: for each topic nil, or why it was not made.
    /// - Throws: `KafkaError` when the cluster did not answer.
    package func create(
        _ topics: [NewTopic], validatesOnly: Bool = false, timeout: Int32
    ) throws(KafkaError) -> [String: KafkaError?] {
        var made: [OpaquePointer?] = []
        defer { for topic in made { rd_kafka_NewTopic_destroy(topic) } }
        for topic in topics {
            var text = [CChar](repeating: 0, count: 512)
            guard
                let pointer = rd_kafka_NewTopic_new(
                    topic.name, topic.partitions, topic.replication, &text, text.count)
            else { throw KafkaError(.invalidArgument, "topic '\(topic.name)': \(string(text))") }
            made.append(pointer)
            for (name, value) in topic.configuration.sorted(by: { $0.key < $1.key }) {
                _ = rd_kafka_NewTopic_set_config(pointer, name, value)
            }
        }
        let event = try run(RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout: timeout) { options in
            if validatesOnly { _ = rd_kafka_AdminOptions_set_validate_only(options, 1, nil, 0) }
            rd_kafka_CreateTopics(client.handle, &made, made.count, options, queue)
        }
        defer { rd_kafka_event_destroy(event) }
        var count = 0
        let results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count)
        return outcomes(results, count)
    }

    /// Deletes topics, with all that is in them.
    package func delete(_ names: [String], timeout: Int32) throws(KafkaError) -> [String: KafkaError?] {
        var topics: [OpaquePointer?] = names.map { rd_kafka_DeleteTopic_new($0) }
        defer { for topic in topics { rd_kafka_DeleteTopic_destroy(topic) } }
        let event = try run(RD_KAFKA_ADMIN_OP_DELETETOPICS, timeout: timeout) { options in
            rd_kafka_DeleteTopics(client.handle, &topics, topics.count, options, queue)
        }
        defer { rd_kafka_event_destroy(event) }
        var count = 0
        let results = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count)
        return outcomes(results, count)
    }

    /// Deletes the records below these offsets.
    package func deleteRecords(before places: [TopicPartition], timeout: Int32) throws(KafkaError) {
        let list = TopicPartitionList(places)
        var request = list.withPointer { rd_kafka_DeleteRecords_new($0) }
        defer { rd_kafka_DeleteRecords_destroy(request) }
        let event = try run(RD_KAFKA_ADMIN_OP_DELETERECORDS, timeout: timeout) { options in
            rd_kafka_DeleteRecords(client.handle, &request, 1, options, queue)
        }
        defer { rd_kafka_event_destroy(event) }
        guard
            let answer = rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event))
        else { throw KafkaError(.unknown, "the cluster said nothing") }
        _ = try TopicPartition.withoutErrors(
            TopicPartitionList.elements(of: UnsafeMutablePointer(mutating: answer)))
    }

    /// The cluster's brokers and topics; one topic when it is named.
    package func describe(topic: String? = nil, timeout: Int32) throws(KafkaError) -> ClusterMetadata {
        try client.metadata(topic: topic, timeout: timeout)
    }

    /// The configuration in force of a topic or a broker.
    ///
    /// - Returns: name to value; a secret or unset value is nil.
    /// - Throws: `KafkaError` when the cluster did not answer, or does not let this client see it.
    package func configuration(
        of resource: ConfigurationResource, timeout: Int32
    ) throws(KafkaError) -> [String: String?] {
        let described = try configurations(of: [resource], timeout: timeout)
        guard let result = described[resource] else {
            throw KafkaError(.unknown, "the cluster described nothing")
        }
        return try result.get()
    }

    /// The configurations in force of several topics, or of one broker, in one request.
    ///
    /// - Returns: for each, name to value (nil for a secret or unset one), or why it cannot be seen.
    /// - Throws: `KafkaError` when the cluster did not answer.
    package func configurations(
        of resources: [ConfigurationResource], timeout: Int32
    ) throws(KafkaError) -> [ConfigurationResource: Result<[String: String?], KafkaError>] {
        var asked: [OpaquePointer?] = resources.map {
            switch $0 {
            case .topic(let name): rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name)
            case .broker(let id): rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_BROKER, String(id))
            }
        }
        defer { for resource in asked { rd_kafka_ConfigResource_destroy(resource) } }
        let event = try run(RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout: timeout) { options in
            rd_kafka_DescribeConfigs(client.handle, &asked, asked.count, options, queue)
        }
        defer { rd_kafka_event_destroy(event) }
        var count = 0
        let result = rd_kafka_event_DescribeConfigs_result(event)
        let described = rd_kafka_DescribeConfigs_result_resources(result, &count)
        var all: [ConfigurationResource: Result<[String: String?], KafkaError>] = [:]
        for index in 0..<count {
            guard let one = described?[index], let name = rd_kafka_ConfigResource_name(one) else { continue }
            let text = String(cString: name)
            let resource: ConfigurationResource =
                rd_kafka_ConfigResource_type(one) == RD_KAFKA_RESOURCE_BROKER
                ? .broker(Int32(text) ?? -1) : .topic(text)
            all[resource] = Self.values(of: one)
        }
        return all
    }

    private static func values(of resource: OpaquePointer) -> Result<[String: String?], KafkaError> {
        let error = rd_kafka_ConfigResource_error(resource)
        guard error == RD_KAFKA_RESP_ERR_NO_ERROR else {
            return .failure(
                KafkaError(error, rd_kafka_ConfigResource_error_string(resource).map { String(cString: $0) }))
        }
        var values: [String: String?] = [:]
        var count = 0
        let entries = rd_kafka_ConfigResource_configs(resource, &count)
        for index in 0..<count {
            guard let entry = entries?[index], let name = rd_kafka_ConfigEntry_name(entry) else { continue }
            values.updateValue(
                rd_kafka_ConfigEntry_value(entry).map { String(cString: $0) }, forKey: String(cString: name))
        }
        return .success(values)
    }

    /// Starts a request and waits for its result.
    func run(
        _ operation: rd_kafka_admin_op_t, timeout: Int32, _ start: (OpaquePointer?) -> Void
    ) throws(KafkaError) -> OpaquePointer {
        let options = rd_kafka_AdminOptions_new(client.handle, operation)
        defer { rd_kafka_AdminOptions_destroy(options) }
        var text = [CChar](repeating: 0, count: 512)
        _ = rd_kafka_AdminOptions_set_request_timeout(options, timeout, &text, text.count)
        _ = rd_kafka_AdminOptions_set_operation_timeout(options, timeout, &text, text.count)
        start(options)
        // librdkafka answers every request by itself at its timeout; the margin is for a machine that was paused.
        guard let event = rd_kafka_queue_poll(queue, timeout + 5_000) else { throw KafkaError(.timedOut) }
        let error = rd_kafka_event_error(event)
        guard error == RD_KAFKA_RESP_ERR_NO_ERROR else {
            let text = rd_kafka_event_error_string(event).map { String(cString: $0) }
            rd_kafka_event_destroy(event)
            throw KafkaError(error, text)
        }
        return event
    }

    private func outcomes(
        _ results: UnsafeMutablePointer<OpaquePointer?>?, _ count: Int
    ) -> [String: KafkaError?] {
        var outcomes: [String: KafkaError?] = [:]
        for index in 0..<count {
            guard let result = results?[index], let name = rd_kafka_topic_result_name(result) else { continue }
            let error = rd_kafka_topic_result_error(result)
            let text = rd_kafka_topic_result_error_string(result).map { String(cString: $0) }
            outcomes.updateValue(
                error == RD_KAFKA_RESP_ERR_NO_ERROR ? nil : KafkaError(error, text), forKey: String(cString: name))
        }
        return outcomes
    }
}
