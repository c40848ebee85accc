"""What Mosquitto 2.0 does not do, so that `--server mosquitto` checks our tests and not that broker.

Test (with or without its parameters) -> reason. Each is expected to fail; one that passes after all is reported,
except where the reason begins with "sometimes".
"""

CLOSES_SILENTLY = "closes without saying why"
TOLERATES = "takes this input without complaint"

AFTER = "test_malformed.py::test_wrong_packet_after_connack"
FIRST = "test_malformed.py::test_wrong_first_packet"

LIMITS = {
    "test_node.py::test_mqttjs_with_what_mqtt_5_adds": "gives no response information",
    "test_stuck.py::test_one_stuck_among_fifty_disturbs_nobody": "sometimes drops QoS 0 for whoever is a little late",
    "test_connect.py::test_peer_that_never_sends_a_byte_is_closed": "waits for a first byte much longer",
    "test_connect.py::test_peer_that_stops_within_its_first_packet_is_closed": "waits for the rest much longer",
    "test_properties.py::test_exceeding_the_servers_receive_maximum_is_an_error": "answers PUBREC 0x97 and goes on",
    "test_properties.py::test_receive_maximum_of_the_client_is_honoured[2]": "sends one more after PUBREC",
    "test_qos.py::test_pubrec_of_an_unknown_message_is_answered_with_its_reason": "answers with success",
    "test_qos.py::test_repeated_qos_2_publish_is_delivered_once": "takes repetition within one connection for an error",
    "test_session.py::test_in_flight_messages_outlive_the_server[SIGKILL]": "saves handshakes only at its end",
    "test_session.py::test_takeover_ends_the_older_connection_with_its_reason": CLOSES_SILENTLY,
    "test_will.py::test_will_is_published_after_a_protocol_error": "forgets the will of who breaks the rules",
    "test_web.py::test_packets_may_be_spread_over_frames_and_share_them": "sometimes answers only the first packet of a frame",
    "test_web.py::test_wrong_frames_close_the_connection": TOLERATES,
    "test_web.py::test_page_of_another_site_is_refused": "asks nobody where he comes from",
    "test_web.py::test_foreign_host_name_is_refused": "asks nobody where he goes to",
    "test_web.py::test_plain_mqtt_is_recognised_on_the_web_port": "one port speaks one protocol",
    "test_web.py::test_operators_pages_are_served": "has no such pages",
    FIRST + "[authentication data without a method (v5)]": TOLERATES,
    FIRST + "[remaining length of 256 MB (v5)]": "waits for all of it",
    AFTER + "[second CONNECT (v5)]": CLOSES_SILENTLY,
    AFTER + "[CONNACK from a client (v5)]": CLOSES_SILENTLY,
    AFTER + "[SUBACK from a client (v5)]": TOLERATES,
    AFTER + "[UNSUBACK from a client (v5)]": TOLERATES,
    AFTER + "[PINGRESP from a client (v5)]": TOLERATES,
    AFTER + "[AUTH without a method (v5)]": CLOSES_SILENTLY,
    AFTER + "[DUP with QoS 0 (v5)]": TOLERATES,
    AFTER + "[PUBLISH with a subscription identifier (v5)]": TOLERATES,
    AFTER + "[PUBLISH with a wildcard as response topic (v5)]": TOLERATES,
    AFTER + "[PUBLISH with content type twice (v5)]": CLOSES_SILENTLY,
    AFTER + "[PUBREL without flags (v5)]": CLOSES_SILENTLY,
    AFTER + "[PUBACK with packet identifier 0 (v5)]": CLOSES_SILENTLY,
    AFTER + "[PUBACK of one byte (v5)]": CLOSES_SILENTLY,
    AFTER + "[PUBACK with flags (v5)]": TOLERATES,
    AFTER + "[PINGREQ with flags (v5)]": TOLERATES,
    AFTER + "[PINGREQ with a body (v5)]": TOLERATES,
    AFTER + "[DISCONNECT with flags (v5)]": CLOSES_SILENTLY,
    AFTER + "[DISCONNECT with an unknown reason (v5)]": CLOSES_SILENTLY,
    AFTER + "[remaining length of five bytes (v5)]": CLOSES_SILENTLY,
    "drills/test_kill.py::test_acknowledged_messages_survive[SIGTERM]":
        "sometimes delivers QoS 2 twice when a publish is repeated after a restart",
    "drills/test_kill.py::test_acknowledged_messages_survive[SIGKILL]": "acknowledges before it has written",
    "drills/test_full_disk.py::test_full_disk_recovers_without_restart": "keeps messages in memory, not on the disk",
}
