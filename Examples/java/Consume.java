import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.MissingNode;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reacts to the bridge's events from Java: prints delivery statuses, replies and opt-outs, each event once.
 *
 * <pre>
 * javac -cp 'libs/*' Consume.java      # kafka-clients, jackson-databind and what they need
 * KAFKA_BOOTSTRAP_SERVERS=localhost:9092 GROUP=desk java -cp 'libs/*:.' Consume
 * </pre>
 *
 * TOPIC_PREFIX is what stands before the dot in the topics' names; SEEN a file that remembers the ids of handled events;
 * IDLE ends the program when nothing has come for so many seconds.
 */
public final class Consume {
    private static final ObjectMapper JSON = new ObjectMapper();

    private static String environment(String name, String standard) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? standard : value;
    }

    private static String hidden(JsonNode event) {
        String msisdn = event.path("msisdn").asText("");
        return msisdn.isEmpty() ? "unknown" : "…" + msisdn.substring(Math.max(0, msisdn.length() - 3));
    }

    /** What the service does with an event. Keys that it does not know are skipped: a later bridge may add some. */
    private static void handle(JsonNode event) {
        String type = event.path("type").asText();
        String id = event.path("id").asText();
        if (type.equals("delivery-status")) {
            System.out.println("status " + event.path("state").asText() + " " + hidden(event) + " " + id);
        } else if (event.path("optOut").asBoolean()) {
            System.out.println("opt-out " + hidden(event) + " " + id);
        } else if (type.equals("reply")) {
            System.out.println("reply " + hidden(event) + " " + id);
        }
        System.out.flush();
    }

    private static boolean isEvent(ConsumerRecord<byte[], byte[]> record) {
        var type = record.headers().lastHeader("ce_type");
        return record.value() != null && type != null
            && new String(type.value(), StandardCharsets.UTF_8).endsWith(".v1");
    }

    public static void main(String[] arguments) throws Exception {
        String prefix = environment("TOPIC_PREFIX", "smsportal");
        long idle = (long) (Double.parseDouble(environment("IDLE", "1e9")) * 1e9);
        Path file = Path.of(environment("SEEN", "seen.txt"));
        Set<String> seen = new HashSet<>(Files.exists(file) ? Files.readAllLines(file) : List.of());
        var consumer = new KafkaConsumer<byte[], byte[]>(Map.of(
            "bootstrap.servers", environment("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
            "group.id", environment("GROUP", "desk-java"),
            "auto.offset.reset", "earliest",
            // Committed by hand, once events are handled: what a crash leaves unhandled comes again.
            "enable.auto.commit", "false",
            // A member that dies is missed after so long, and its partitions go to the others.
            "session.timeout.ms", "10000",
            "key.deserializer", ByteArrayDeserializer.class.getName(),
            "value.deserializer", ByteArrayDeserializer.class.getName()));
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            consumer.wakeup();
            try { main.join(10_000); } catch (InterruptedException ignored) { }
        }));
        try (consumer) {
            consumer.subscribe(List.of(prefix + ".delivery-status", prefix + ".reply", prefix + ".short-code"));
            long last = System.nanoTime();
            while (System.nanoTime() - last < idle) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(500));
                if (records.isEmpty()) continue;
                last = System.nanoTime();
                for (var record : records) {
                    if (!isEvent(record)) continue;
                    JsonNode event;
                    try {
                        event = JSON.readTree(record.value());
                    } catch (JsonProcessingException broken) {
                        event = MissingNode.getInstance();
                    }
                    String id = event.path("id").asText();
                    if (id.isEmpty()) {
                        // Told and passed: it would stop the program at every start.
                        System.err.println("no event: " + record.topic() + "[" + record.partition() + "]@" + record.offset());
                        continue;
                    }
                    if (seen.contains(id)) continue;
                    handle(event);
                    // Handled first, remembered then: a crash in between repeats the event, and never loses it.
                    seen.add(id);
                    Files.writeString(file, id + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
                }
                try {
                    consumer.commitSync();
                } catch (CommitFailedException | RetriableException refused) {
                    // The partitions have gone to another member, or Kafka is away: the events come again, and are known.
                    System.err.println(refused.getMessage());
                }
            }
        } catch (WakeupException stopped) {
            // The end that was asked for.
        }
    }
}
