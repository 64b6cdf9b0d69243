/* A server of open62541 for the benchmark opc-server-peers: PORT COUNT:PERIOD_MS ...
 *
 * Group g has COUNT variables, ten to an object, whose ids are ns=2;s=gGaA.vN. Each gets another value
 * at each tick, all values of a tick one source time. It prints "ready", then a line for each tick:
 * its time in ns since 1970 and how many values it had. SIGTERM ends it.
 */
#include <open62541/plugin/log_stdout.h>
#include <open62541/server.h>
#include <open62541/server_config_default.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define PER_OBJECT 10

typedef struct {
    size_t count;
    unsigned period_ms;
    UA_NodeId *nodes;
} Group;

static Group *groups;
static int group_count;
static unsigned base_ms;
static unsigned long tick_number;
static volatile UA_Boolean running = true;

static void stop(int signal_number) {
    (void)signal_number;
    running = false;
}

static void check(UA_StatusCode code, const char *what) {
    if(code == UA_STATUSCODE_GOOD)
        return;
    fprintf(stderr, "%s: %s\n", what, UA_StatusCode_name(code));
    exit(1);
}

static void tick(UA_Server *server, void *data) {
    (void)data;
    UA_DateTime now = UA_DateTime_now();
    now -= now % 10; /* whole microseconds, as our server has them */
    size_t written = 0;
    for(int g = 0; g < group_count; g++) {
        if(tick_number * base_ms % groups[g].period_ms != 0)
            continue;
        for(size_t i = 0; i < groups[g].count; i++) {
            UA_Double number = (UA_Double)tick_number + (UA_Double)i / 1000.0;
            UA_DataValue value;
            UA_DataValue_init(&value);
            UA_Variant_setScalar(&value.value, &number, &UA_TYPES[UA_TYPES_DOUBLE]);
            value.hasValue = true;
            value.sourceTimestamp = now;
            value.hasSourceTimestamp = true;
            check(UA_Server_writeDataValue(server, groups[g].nodes[i], value), "write");
        }
        written += groups[g].count;
    }
    tick_number++;
    if(written > 0) {
        printf("%lld %zu\n", (long long)(now - UA_DATETIME_UNIX_EPOCH) * 100, written);
        fflush(stdout);
    }
}

static void add_object(UA_Server *server, UA_NodeId id, char *name) {
    UA_ObjectAttributes attributes = UA_ObjectAttributes_default;
    attributes.displayName = UA_LOCALIZEDTEXT("", name);
    check(UA_Server_addObjectNode(server, id, UA_NS0ID(OBJECTSFOLDER), UA_NS0ID(ORGANIZES),
                                  UA_QUALIFIEDNAME(2, name), UA_NS0ID(BASEOBJECTTYPE), attributes,
                                  NULL, NULL),
          "add an object");
}

static void add_variable(UA_Server *server, UA_NodeId parent, UA_NodeId id, char *name) {
    UA_VariableAttributes attributes = UA_VariableAttributes_default;
    UA_Double zero = 0.0;
    UA_Variant_setScalar(&attributes.value, &zero, &UA_TYPES[UA_TYPES_DOUBLE]);
    attributes.dataType = UA_TYPES[UA_TYPES_DOUBLE].typeId;
    attributes.displayName = UA_LOCALIZEDTEXT("", name);
    attributes.minimumSamplingInterval = 0.0;
    check(UA_Server_addVariableNode(server, id, parent, UA_NS0ID(HASCOMPONENT),
                                    UA_QUALIFIEDNAME(2, name), UA_NS0ID(BASEDATAVARIABLETYPE),
                                    attributes, NULL, NULL),
          "add a variable");
}

static void add_group(UA_Server *server, int number) {
    Group *group = &groups[number];
    group->nodes = calloc(group->count, sizeof(UA_NodeId));
    char object[32], variable[48];
    for(size_t i = 0; i < group->count; i++) {
        snprintf(object, sizeof(object), "g%da%zu", number, i / PER_OBJECT);
        if(i % PER_OBJECT == 0)
            add_object(server, UA_NODEID_STRING(2, object), object);
        snprintf(variable, sizeof(variable), "%s.v%zu", object, i % PER_OBJECT);
        group->nodes[i] = UA_NODEID_STRING_ALLOC(2, variable);
        add_variable(server, UA_NODEID_STRING(2, object), group->nodes[i], variable);
    }
}

int main(int argc, char **argv) {
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    UA_ServerConfig config = {0};
    config.logging = UA_Log_Stdout_new(UA_LOGLEVEL_FATAL);
    check(UA_ServerConfig_setMinimal(&config, (UA_UInt16)atoi(argv[1]), NULL), "configure");
    char url[64];
    snprintf(url, sizeof(url), "opc.tcp://127.0.0.1:%s", argv[1]);
    UA_Array_delete(config.serverUrls, config.serverUrlsSize, &UA_TYPES[UA_TYPES_STRING]);
    config.serverUrls = UA_String_new();
    config.serverUrlsSize = 1;
    *config.serverUrls = UA_STRING_ALLOC(url);
    /* What the client asks for is not cut: as many notifications in an answer, as long a queue. */
    config.maxNotificationsPerPublish = 100000;
    config.queueSizeLimits.max = 10000;
    UA_Server *server = UA_Server_newWithConfig(&config);
    if(server == NULL || UA_Server_addNamespace(server, "urn:fieldline:bench") != 2)
        return 1;
    group_count = argc - 2;
    groups = calloc((size_t)group_count, sizeof(Group));
    for(int g = 0; g < group_count; g++) {
        sscanf(argv[g + 2], "%zu:%u", &groups[g].count, &groups[g].period_ms);
        if(base_ms == 0 || groups[g].period_ms < base_ms)
            base_ms = groups[g].period_ms; /* the others are multiples of the shortest */
        add_group(server, g);
    }
    tick(server, NULL);
    check(UA_Server_run_startup(server), "start");
    check(UA_Server_addRepeatedCallback(server, tick, NULL, base_ms, NULL), "tick");
    printf("ready\n");
    fflush(stdout);
    while(running)
        UA_Server_run_iterate(server, true);
    UA_Server_run_shutdown(server);
    UA_Server_delete(server);
    return 0;
}
