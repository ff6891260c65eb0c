%% The head of a request, whatever brought it: made by hornbeam_http1_head and by hornbeam_http2_head, read by everything in src/http.
%%
%% Names of fields are lower-case; `fields' keeps the client's order and repetitions.
%% Some of them are also here by themselves, because framing or the protocol depends on them.
-record(head, {
    method :: binary(),
    path :: binary(),                       % as sent, without the query
    query = <<>> :: binary(),
    version :: hornbeam_headers:version(),
    scheme = <<"http">> :: binary(),
    host :: binary() | undefined,           % the Host field, or :authority
    fields = [] :: hornbeam_headers:headers(),
    length = 0 :: non_neg_integer() | unknown, % of the body; 0: there is none
    expect = none :: none | continue,
    te :: binary() | undefined,
    upgrade :: binary() | undefined,
    protocol :: binary() | undefined,       % HTTP/2's :protocol (RFC 8441)
    persistent = true :: boolean(),         % HTTP/1: the client lets the connection go on
    peer :: hornbeam_scope:address(),
    sock :: hornbeam_scope:address()
}).
