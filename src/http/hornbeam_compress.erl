%%% Compresses responses that are worth it, with Cowboy's own handler (gzip).
%%%
%%% Called by: Cowboy, as a stream handler before hornbeam_stream (option `compress'). Calls: the next handler; cowboy_compress_h.
%%%
%%% cowboy_compress_h compresses whatever has no content-encoding and no etag. It is therefore given only the commands of responses
%%% that this module has chosen, by their type, length and status; the next handler in its chain is this module once more, as an
%%% `echo' whose info/3 returns the commands that it is sent. All other responses never see it.
-module(hornbeam_compress).
-behaviour(cowboy_stream).

-export([init/3, data/4, info/3, terminate/3, early_error/5]).

-record(compress, {
    next :: term(),
    min_size :: non_neg_integer(),
    accepts :: #{binary() => binary()},             % the request's accept-encoding, if there is one
    way = undecided :: undecided | plain | {gzip, term()}
}).

-spec init(cowboy_stream:streamid(), cowboy_req:req(), cowboy:opts()) ->
    {cowboy_stream:commands(), #compress{} | echo}.
init(_StreamId, _Req, #{echo := true}) ->
    {[], echo};
init(StreamId, #{headers := Headers} = Req, #{compress_min_size := MinSize} = Options) ->
    {Commands, Next} = cowboy_stream:init(StreamId, Req, Options),
    fold(StreamId, Commands,
         #compress{next = Next, min_size = MinSize,
                   accepts = maps:with([<<"accept-encoding">>], Headers)}).

-spec data(cowboy_stream:streamid(), cowboy_stream:fin(), binary(), #compress{}) ->
    {cowboy_stream:commands(), #compress{}}.
data(StreamId, IsFin, Data, #compress{next = Next0} = State) ->
    {Commands, Next} = cowboy_stream:data(StreamId, IsFin, Data, Next0),
    fold(StreamId, Commands, State#compress{next = Next}).

-spec info(cowboy_stream:streamid(), term(), #compress{} | echo) ->
    {cowboy_stream:commands(), #compress{} | echo}.
info(_StreamId, Commands, echo) ->
    {Commands, echo};
info(StreamId, Info, #compress{next = Next0} = State) ->
    {Commands, Next} = cowboy_stream:info(StreamId, Info, Next0),
    fold(StreamId, Commands, State#compress{next = Next}).

-spec terminate(cowboy_stream:streamid(), cowboy_stream:reason(), #compress{} | echo) -> term().
terminate(_StreamId, _Reason, echo) ->
    ok;
terminate(StreamId, Reason, #compress{next = Next, way = Way}) ->
    _ = case Way of
        {gzip, Gzip} -> cowboy_compress_h:terminate(StreamId, Reason, Gzip);
        _ -> ok
    end,
    cowboy_stream:terminate(StreamId, Reason, Next).

-spec early_error(cowboy_stream:streamid(), cowboy_stream:reason(), cowboy_stream:partial_req(),
                  Response, cowboy:opts()) -> Response
    when Response :: cowboy_stream:resp_command().
early_error(StreamId, Reason, PartialReq, Response, Options) ->
    cowboy_stream:early_error(StreamId, Reason, PartialReq, Response, Options).

fold(_StreamId, Commands, #compress{way = plain} = State) ->
    {Commands, State};
fold(StreamId, Commands, #compress{way = {gzip, Gzip0}} = State) ->
    {Compressed, Gzip} = cowboy_compress_h:info(StreamId, Commands, Gzip0),
    {Compressed, State#compress{way = {gzip, Gzip}}};
fold(StreamId, Commands, #compress{accepts = Accepts, min_size = MinSize} = State) ->
    case [Head || Head <- Commands, is_head(Head)] of
        [] ->
            {Commands, State};
        [Head | _] ->
            case is_worth_it(Head, MinSize) of
                true -> fold(StreamId, Commands, State#compress{way = {gzip, gzip(StreamId, Accepts, MinSize)}});
                false -> {Commands, State#compress{way = plain}}
            end
    end.

%% Of the request cowboy_compress_h reads accept-encoding and nothing else: the whole of it need not be kept.
-dialyzer({nowarn_function, [gzip/3, fold/3]}).
gzip(StreamId, Accepts, MinSize) ->
    Options = #{stream_handlers => [?MODULE], echo => true, compress_threshold => max(0, MinSize - 1)},
    {[], Gzip} = cowboy_compress_h:init(StreamId, #{headers => Accepts}, Options),
    Gzip.


is_head({response, _, _, _}) -> true;
is_head({headers, _, _}) -> true;
is_head(_) -> false.

is_worth_it({response, Status, Headers, Body}, MinSize) when not is_tuple(Body) ->
    iolist_size(Body) >= MinSize andalso is_suitable(Status, Headers);
is_worth_it({headers, Status, Headers}, MinSize) ->
    case Headers of
        #{<<"content-length">> := Length} -> binary_to_integer(Length) >= MinSize andalso is_suitable(Status, Headers);
        #{} -> is_suitable(Status, Headers)
    end;
is_worth_it(_File, _MinSize) ->
    false.

%% A part of a representation (206) is a part of its plain form; no-transform: RFC 9111, 5.2.2.6.
is_suitable(206, _Headers) ->
    false;
is_suitable(_Status, #{<<"cache-control">> := Control} = Headers) ->
    binary:match(string:lowercase(Control), <<"no-transform">>) =:= nomatch
        andalso is_text(maps:get(<<"content-type">>, Headers, <<>>));
is_suitable(_Status, Headers) ->
    is_text(maps:get(<<"content-type">>, Headers, <<>>)).

is_text(ContentType) ->
    [Type | _] = binary:split(string:lowercase(ContentType), [<<";">>, <<" ">>]),
    case Type of
        <<"text/event-stream">> -> false;
        <<"text/", _/binary>> -> true;
        <<"application/", Name/binary>> -> is_text_application(Name);
        <<"image/svg+xml">> -> true;
        _ -> false
    end.

is_text_application(Name) ->
    lists:member(Name, [<<"json">>, <<"javascript">>, <<"xml">>, <<"wasm">>, <<"x-javascript">>,
                        <<"x-www-form-urlencoded">>, <<"x-ndjson">>, <<"manifest+json">>])
        orelse lists:suffix("+json", binary_to_list(Name))
        orelse lists:suffix("+xml", binary_to_list(Name)).
