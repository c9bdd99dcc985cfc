"""The types, queries and mutations (executor.md 13.1 to 13.3). What is missing here is refused by name."""

from __future__ import annotations

TYPES = """
scalar Time
scalar ULID
scalar UUID
scalar Map
scalar Bytes

enum FunctionRunStatus { CANCELLED COMPLETED FAILED QUEUED RUNNING SKIPPED }
enum RunTraceSpanStatus { CANCELLED COMPLETED FAILED QUEUED RUNNING WAITING SKIPPED }
enum StepOp { INVOKE RUN SLEEP WAIT_FOR_EVENT AI_GATEWAY WAIT_FOR_SIGNAL }
enum FunctionTriggerTypes { CRON EVENT }
enum RunsOrderByField { QUEUED_AT STARTED_AT ENDED_AT }
enum RunsOrderByDirection { ASC DESC }
enum SingletonMode { SKIP CANCEL }
enum ConnectV1ConnectionStatus { CONNECTED READY DRAINING DISCONNECTING DISCONNECTED }
enum ConnectV1WorkerConnectionsOrderByField { CONNECTED_AT LAST_HEARTBEAT_AT DISCONNECTED_AT }
enum ConcurrencyScope { ACCOUNT ENVIRONMENT FUNCTION }
enum AppMethod { SERVE CONNECT API }
enum EventStatus { RUNNING COMPLETED PAUSED FAILED PARTIALLY_FAILED NO_FUNCTIONS }
enum RunDeferStatus { SCHEDULED ABORTED REJECTED }

type App {
  id: ID! externalID: String! name: String! sdkLanguage: String! sdkVersion: String! framework: String url: String
  checksum: String error: String appVersion: String connected: Boolean! autodiscovered: Boolean! method: AppMethod!
  sdkFeatureReadiness: SDKFeatureReadiness
  functionCount: Int! functions: [Function!]!
}
type SDKFeatureReadiness { aiMetadataExtraction: FeatureReadiness extendedTraces: FeatureReadiness }
type FeatureReadiness { ready: Boolean! reason: String }
input AppsFilterV1 { method: AppMethod }
type Function {
  id: String! name: String! slug: String! config: String! triggers: [FunctionTrigger!] url: String! appID: String!
  app: App isPaused: Boolean! configuration: FunctionConfiguration! concurrency: Int! failureHandler: Function
}
type FunctionTrigger { type: FunctionTriggerTypes! value: String! condition: String }
type FunctionConfiguration {
  cancellations: [CancellationConfiguration!]! retries: RetryConfiguration! priority: String
  eventsBatch: EventsBatchConfiguration concurrency: [ConcurrencyConfiguration!]! rateLimit: RateLimitConfiguration
  debounce: DebounceConfiguration throttle: ThrottleConfiguration singleton: SingletonConfiguration
}
type CancellationConfiguration { event: String! timeout: String condition: String }
type RetryConfiguration { value: Int! isDefault: Boolean }
type EventsBatchConfiguration { maxSize: Int! timeout: String! key: String }
type ConcurrencyConfiguration { scope: ConcurrencyScope! limit: ConcurrencyLimitConfiguration! key: String }
type ConcurrencyLimitConfiguration { value: Int! isPlanLimit: Boolean }
type RateLimitConfiguration { limit: Int! period: String! key: String }
type DebounceConfiguration { period: String! key: String }
type ThrottleConfiguration { burst: Int! key: String limit: Int! period: String! }
type SingletonConfiguration { mode: SingletonMode! key: String }

type Event {
  id: ID! externalID: String name: String createdAt: Time payload: String raw: String
  functionRuns: [FunctionRun!] totalRuns: Int pendingRuns: Int status: EventStatus schema: String
}
type FunctionRun {
  id: ID! functionID: String! function: Function event: Event eventID: ID! status: FunctionRunStatus startedAt: Time
  finishedAt: Time output: String cron: String batchID: ULID batchCreatedAt: Time events: [Event!]!
  pendingSteps: Int
}
type StreamItem { id: ULID! trigger: String! type: FunctionTriggerTypes! createdAt: Time! runs: [FunctionRun!] }
type EventV2 {
  envID: UUID! id: ULID! idempotencyKey: String name: String! occurredAt: Time! raw: String! receivedAt: Time!
  runs: [FunctionRunV2!]! version: String source: EventSource
}
type EventSource { id: ID! name: String sourceKind: String! }
type EventsConnection { edges: [EventsEdge!]! pageInfo: PageInfo! totalCount: Int! }
type EventsEdge { node: EventV2! cursor: String! }

type FunctionRunV2 {
  id: ULID! appID: UUID app: App functionID: UUID! function: Function traceID: String! queuedAt: Time! startedAt: Time
  endedAt: Time status: FunctionRunStatus! triggerIDs: [ULID!]! eventName: String isBatch: Boolean! cronSchedule: String
  output: String trace(preview: Boolean): RunTraceSpan originalRunID: ULID skipReason: String skipExistingRunID: ULID
  sourceID: String batchCreatedAt: Time hasAI: Boolean! isDeferred: Boolean! defers: [RunDefer!]!
  siblingDefers: [RunDefer!]!
}
type RunDefer {
  hashedDeferID: String! userlandDeferID: String! fnSlug: String! status: RunDeferStatus! function: Function runID: ULID
  run: FunctionRunV2
}
type RunsV2Connection { edges: [FunctionRunV2Edge!]! pageInfo: PageInfo! totalCount(preview: Boolean): Int! }
type FunctionRunV2Edge { node: FunctionRunV2! cursor: String! }
type PageInfo { hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String }

type RunTraceSpan {
  runID: ULID! spanID: String! traceID: String! functionID: UUID! name: String! status: RunTraceSpanStatus!
  attempts: Int duration: Int outputID: String queuedAt: Time! startedAt: Time endedAt: Time
  childrenSpans: [RunTraceSpan!]! stepOp: StepOp stepID: String stepType: String isRoot: Boolean! parentSpanID: String
  parentSpan: RunTraceSpan appID: UUID run: FunctionRunV2 groupID: String scheduledAt: Time stepInfo: StepInfo
  skipReason: String skipExistingRunID: ULID metadata: [SpanMetadata!]! isUserland: Boolean! debugRunID: ULID
  debugSessionID: ULID debugPaused: Boolean! response: SpanResponse
}
type SpanResponse { statusCode: Int headers: Map }
type SpanMetadata { scope: String! kind: String! values: Map! updatedAt: Time }
union StepInfo = InvokeStepInfo | SleepStepInfo | WaitForEventStepInfo | RunStepInfo | WaitForSignalStepInfo
type InvokeStepInfo {
  triggeringEventID: ULID functionID: String! timeout: Time! returnEventID: ULID runID: ULID timedOut: Boolean
}
type SleepStepInfo { sleepUntil: Time! }
type WaitForEventStepInfo {
  eventName: String! expression: String timeout: Time! foundEventID: String timedOut: Boolean
}
type RunStepInfo { type: String }
type WaitForSignalStepInfo { signal: String! timeout: Time! timedOut: Boolean }
type RunTraceSpanOutput { input: String data: String error: StepError }
type StepError { message: String! name: String stack: String cause: String }
type RunTraceTrigger {
  eventName: String IDs: [ULID!]! payloads: [String!]! timestamp: Time! isBatch: Boolean! batchID: ULID cron: String
}

type ConnectV1WorkerConnection {
  id: ULID! gatewayId: ULID instanceId: String! workerIp: String! maxWorkerConcurrency: Int! appName: String appID: UUID
  app: App connectedAt: Time! lastHeartbeatAt: Time disconnectedAt: Time status: ConnectV1ConnectionStatus!
  sdkLang: String! sdkVersion: String! functionCount: Int! cpuCores: Int! memBytes: Float! os: String!
  disconnectReason: String sdkPlatform: String groupHash: String syncId: UUID buildId: String appVersion: String
}
type ConnectV1WorkerConnectionEdge { node: ConnectV1WorkerConnection! cursor: String! }
type ConnectV1WorkerConnectionsConnection {
  edges: [ConnectV1WorkerConnectionEdge!]! pageInfo: PageInfo! totalCount: Int!
}
input ConnectV1WorkerConnectionsFilter {
  from: Time until: Time status: [ConnectV1ConnectionStatus!] appIDs: [UUID!]
}
input ConnectV1WorkerConnectionsOrderBy {
  field: ConnectV1WorkerConnectionsOrderByField! direction: RunsOrderByDirection!
}

input EventQuery { eventId: ID! }
input EventsQuery { name: String lastEventId: ID }
input StreamQuery { after: String before: String limit: Int! = 20 includeInternalEvents: Boolean! = false }
input FunctionRunQuery { functionRunId: ID! }
input FunctionQuery { functionSlug: String! }
input EventsFilter {
  from: Time! until: Time eventNames: [String!] includeInternalEvents: Boolean! = false query: String
}
input RunsFilterV2 {
  from: Time! until: Time timeField: RunsOrderByField = QUEUED_AT status: [FunctionRunStatus!] functionIDs: [UUID!]
  appIDs: [UUID!] isDeferred: Boolean query: String
}
input RunsV2OrderBy { field: RunsOrderByField! direction: RunsOrderByDirection! }
input CreateAppInput { url: String! }
input UpdateAppInput { id: String! url: String! }
input InvokeMeta { sessions: Map }
input RerunFromStepInput { stepID: String! input: Bytes }

type Query {
  apps(filter: AppsFilterV1): [App!]!
  app(id: UUID!): App
  functions: [Function!]
  functionBySlug(query: FunctionQuery!): Function
  event(query: EventQuery!): Event
  events(query: EventsQuery!): [Event!] @deprecated(reason: "use eventsV2")
  stream(query: StreamQuery!): [StreamItem!]!
  functionRun(query: FunctionRunQuery!): FunctionRun @deprecated(reason: "use run")
  eventV2(id: ULID!): EventV2!
  eventsV2(first: Int! = 40, after: String, filter: EventsFilter!): EventsConnection!
  runs(
    first: Int! = 40 after: String orderBy: [RunsV2OrderBy!]! filter: RunsFilterV2! preview: Boolean
  ): RunsV2Connection!
  run(runID: String!): FunctionRunV2
  runTrace(runID: String!): RunTraceSpan!
  runTrigger(runID: String!): RunTraceTrigger!
  runTraceSpanOutputByID(outputID: String!): RunTraceSpanOutput!
  workerConnections(
    first: Int! = 40 after: String orderBy: [ConnectV1WorkerConnectionsOrderBy!]!
    filter: ConnectV1WorkerConnectionsFilter!
  ): ConnectV1WorkerConnectionsConnection!
  workerConnection(connectionId: ULID!): ConnectV1WorkerConnection
}
type Mutation {
  createApp(input: CreateAppInput!): App!
  updateApp(input: UpdateAppInput!): App!
  deleteApp(id: String!): String!
  deleteAppByName(name: String!): Boolean!
  invokeFunction(
    data: Map functionSlug: String! user: Map meta: InvokeMeta debugSessionID: ULID debugRunID: ULID
  ): Boolean
  cancelRun(runID: ULID!): FunctionRun!
  rerun(runID: ULID!, fromStep: RerunFromStepInput, debugSessionID: ULID, debugRunID: ULID): ULID!
}
"""
