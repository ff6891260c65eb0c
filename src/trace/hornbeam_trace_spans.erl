%%% The spans of one request: the server's, and below it how its time was spent.
%%%
%%% Called by: hornbeam_trace_exporter (spans/2), in the process that sends them; hornbeam_observe (a type). Calls: hornbeam_trace_context. Pure,
%%% but for ids at random.
%%%
%%%     |--------------------------- GET /items/{id} ---------------------------|     kind server; attributes by the conventions for HTTP
%%%     |- hornbeam.accept -|- hornbeam.queue -|- hornbeam.application -|- hornbeam.response -|
%%%      until it was given    waited for a        until the response         its body, where it
%%%      to a worker           worker, if it did   began                      goes on
-module(hornbeam_trace_spans).

-export([server/1, spans/2]).
-export_type([server/0, request/0, facts/0]).

-type server() :: #{port := inet:port_number() | none}.
-type request() :: {{TraceId :: binary(), SpanId :: binary(), Parent :: binary() | none, 0..3, State :: binary() | none}, facts()}.
%% Times: in native units, or none where it did not come to that. offset: from there to os:system_time/0.
-type facts() :: #{method := binary(), path := binary(), query := binary(), scheme := binary(), version := atom(), host := binary() | undefined,
                   client := term(), user_agent := binary() | undefined, route := binary() | none, status := pos_integer(),
                   received := non_neg_integer(), sent := non_neg_integer(), offset := integer(),
                   started := integer(), waits := integer() | none, placed := integer() | none, answers := integer() | none, over := integer()}.

-define(LONGEST, 2048).
-define(CLIENT_GONE, 499).

-spec server(Config :: map()) -> server().
server(#{bind := [{{_, _, _, _}, Port} | _]}) -> #{port => Port};
server(_) -> #{port => none}.

-spec spans(request(), server()) -> [hornbeam_trace_otlp:span()].
spans({{Trace, Id, Parent, Flags, State}, #{offset := Offset, started := Started, over := Over, status := Status} = Facts}, Server) ->
    Common = #{trace_id => Trace, state => State, flags => Flags, remote => false},
    Whole = Common#{span_id => Id, parent => Parent, remote => Parent =/= none, name => name(Facts), kind => server, start => ns(Started, Offset),
                    'end' => ns(Over, Offset), attributes => attributes(Facts, Server), failed => Status >= 500},
    [Whole | [Common#{span_id => hornbeam_trace_context:drawn_span(), parent => Id, name => Name, kind => internal, start => ns(From, Offset),
                      'end' => ns(max(From, To), Offset), attributes => [], failed => false}
              || {Name, From, To} <- phases(Facts)]].

ns(Time, Offset) -> erlang:convert_time_unit(Time + Offset, native, nanosecond).

phases(#{started := Started, waits := Waits, placed := Placed, answers := Answers0, over := Over}) ->
    Answers = first([Answers0, Over]),
    [{<<"hornbeam.accept">>, Started, first([Waits, Placed, Answers])}]
    ++ [{<<"hornbeam.queue">>, Waits, first([Placed, Answers])} || Waits =/= none]
    ++ [{<<"hornbeam.application">>, Placed, Answers} || Placed =/= none]
    ++ [{<<"hornbeam.response">>, Answers, Over} || Answers0 =/= none, Over > Answers].

first([none | Rest]) -> first(Rest);
first([Time | _]) -> Time.

%% The template of the route tells what is alike; a path does not.
name(#{method := Method, route := none}) -> known(Method);
name(#{method := Method, route := Route}) -> <<(known(Method))/binary, " ", (text(Route))/binary>>.

known(Method) ->
    case is_known(Method) of
        true -> Method;
        false -> <<"HTTP">>
    end.

is_known(Method) ->
    lists:member(Method, [<<"GET">>, <<"HEAD">>, <<"POST">>, <<"PUT">>, <<"DELETE">>, <<"PATCH">>, <<"OPTIONS">>, <<"TRACE">>, <<"CONNECT">>, <<"QUERY">>]).

attributes(#{method := Method, path := Path, query := Query, scheme := Scheme, version := Version, host := Host, client := Client,
             user_agent := Agent, route := Route, status := Status, received := Received, sent := Sent}, Server) ->
    Known = is_known(Method),
    [{<<"http.request.method">>, case Known of true -> Method; false -> <<"_OTHER">> end}]
    ++ [{<<"http.request.method_original">>, text(Method)} || not Known]
    ++ [{<<"url.path">>, text(Path)}, {<<"url.scheme">>, Scheme}, {<<"network.protocol.name">>, <<"http">>}, {<<"network.protocol.version">>, version(Version)}]
    ++ [{<<"url.query">>, text(Query)} || Query =/= <<>>]
    ++ [{<<"http.route">>, text(Route)} || Route =/= none]
    ++ [{<<"http.response.status_code">>, Status} || Status =/= ?CLIENT_GONE]
    ++ [{<<"error.type">>, integer_to_binary(Status)} || Status >= 500]
    ++ [{<<"error.type">>, <<"client_gone">>} || Status =:= ?CLIENT_GONE]
    ++ host(Host, Server) ++ client(Client)
    ++ [{<<"user_agent.original">>, text(Agent)} || Agent =/= undefined]
    ++ [{<<"http.request.body.size">>, Received} || Received > 0] ++ [{<<"http.response.body.size">>, Sent}].

version('HTTP/2') -> <<"2">>;
version('HTTP/1.0') -> <<"1.0">>;
version(_) -> <<"1.1">>.

host(undefined, _Server) -> [];
host(Host, #{port := Own}) ->
    case port(Host, byte_size(Host), 0, 1) of
        none -> [{<<"server.address">>, text(Host)} | [{<<"server.port">>, Own} || is_integer(Own), Own > 0]];
        {Size, Port} -> [{<<"server.address">>, text(binary:part(Host, 0, Size))}, {<<"server.port">>, Port}]
    end.

%% What stands behind the last colon, of one to five digits, read from the end; and how much stands before it.
port(_Host, 0, _Port, _Weight) -> none;
port(_Host, _At, _Port, 1000000) -> none;
port(Host, At, Port, Weight) ->
    case binary:at(Host, At - 1) of
        C when C >= $0, C =< $9 -> port(Host, At - 1, Port + (C - $0) * Weight, Weight * 10);
        $: when Weight > 1 -> {At - 1, Port};
        _ -> none
    end.

client({Ip, _Port}) when is_tuple(Ip), tuple_size(Ip) > 2 -> [{<<"client.address">>, list_to_binary(inet:ntoa(Ip))}];
client(_) -> [].

%% Text of OTLP is UTF-8.
text(Text) when byte_size(Text) > ?LONGEST -> text(binary:part(Text, 0, ?LONGEST));
text(Text) ->
    case unicode:characters_to_binary(Text) of
        Text -> Text;
        _ -> unicode:characters_to_binary(Text, latin1)
    end.
