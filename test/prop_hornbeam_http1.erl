%%% Properties of the HTTP/1 parsers, run by properties_tests: whatever the pieces in which bytes come, the answer is the same; what is accepted
%%% re-serialises to an equal one; no input crashes.
%%%
%%% The bytes: requests made from parts, most of them well-formed, then cut, doubled and changed at random; and bytes at random.
-module(prop_hornbeam_http1).

-include_lib("proper/include/proper.hrl").
-include("hornbeam_head.hrl").

-export([prop_head_any_split/0, prop_head_any_cut/0, prop_head_after_others/0, prop_head_serialises/0, prop_head_any_bytes/0,
         prop_body_any_split/0, prop_body_serialises/0, prop_connection_any_split/0]).

%%% Heads

%% The last line is complete, so that every split must come to an answer about it.
prop_head_any_split() ->
    numtests(3000, ?FORALL({Bytes, Cuts, Limits}, {head_bytes(), cuts(), limits()},
        begin
            Text = <<Bytes/binary, "\n">>,
            Whole = head(Limits, [Text]),
            ?WHENFAIL(io:format("~p: ~p, ~p, ~p~n", [Text, Whole, head(Limits, split(Text, Cuts)), head(Limits, singles(Text))]),
                      same(Whole, head(Limits, split(Text, Cuts))) andalso same(Whole, head(Limits, singles(Text))))
        end)).

%% Every cut of a request into two.
prop_head_any_cut() ->
    numtests(300, ?FORALL(Bytes, good_head(),
        begin
            Whole = head(wide(), [Bytes]),
            lists:all(fun(At) -> head(wide(), split(Bytes, [At])) =:= Whole end, lists:seq(1, byte_size(Bytes) - 1))
        end)).

%% What a head means does not depend on those before it, whether it repeats their fields or not.
prop_head_after_others() ->
    numtests(1000, ?FORALL({Fields, Choices, Cuts}, {vector(3, fields()), list({integer(1, 3), request_line(), boolean()}), cuts()},
        begin
            Heads = [{iolist_to_binary([Line, lists:nth(N, Fields)]), Whole} || {N, Line, Whole} <- Choices],
            lists:foldl(fun({Head, Whole}, Parser) -> after_others(case Whole of true -> [Head]; false -> split(Head, Cuts) end, Parser) end,
                        hornbeam_http1_head:new(wide()), Heads) =/= different
        end)).

after_others(_Pieces, different) ->
    different;
after_others(Pieces, Parser) ->
    case {answer(Pieces, Parser), answer(Pieces, hornbeam_http1_head:new(wide()))} of
        {{ok, Head, Rest, Next}, {ok, Head, Rest, _}} -> Next;
        {{refuse, Reason}, {refuse, Reason}} -> hornbeam_http1_head:new(wide());
        _ -> different
    end.

prop_head_serialises() ->
    numtests(2000, ?FORALL(Bytes, oneof([good_head(), head_bytes()]),
        case head(wide(), [Bytes]) of
            {ok, Head, Rest} ->
                Again = serialised(Head),
                ?WHENFAIL(io:format("~p~n~p~n", [Bytes, Again]),
                          head(wide(), [Again]) =:= {ok, Head, <<>>} andalso lists:suffix(binary_to_list(Rest), binary_to_list(Bytes)));
            _ ->
                true
        end)).

prop_head_any_bytes() ->
    numtests(2000, ?FORALL({Bytes, Limits}, {resize(300, binary()), limits()},
        case head(Limits, [Bytes]) of
            {ok, #head{}, _} -> true;
            {refuse, Reason} -> {_, _, _} = hornbeam_error:answer(Reason), true;
            more -> true
        end)).

%% What an answer says, when the pieces are over, too: a line that is not complete may be refused already or not yet.
head(Limits, Pieces) ->
    head_of(Pieces, hornbeam_http1_head:new(Limits)).

head_of(Pieces, Parser) ->
    case answer(Pieces, Parser) of
        {ok, Head, Rest, _Next} -> {ok, Head, Rest};
        Other -> Other
    end.

answer([Piece | Rest], Parser) ->
    case hornbeam_http1_head:feed(Piece, Parser) of
        {more, Next} -> answer(Rest, Next);
        {ok, Head, Left, Next} -> {ok, Head, iolist_to_binary([Left | Rest]), Next};
        {refuse, Reason} -> {refuse, Reason}
    end;
answer([], _Parser) ->
    more.

same(Same, Same) -> true;
same(_, _) -> false.

serialised(#head{method = Method, path = Path, query = Query, version = Version, fields = Fields, host = Host}) ->
    %% Only an absolute target names a host without a field that does.
    Origin = case Host =/= undefined andalso not lists:keymember(<<"host">>, 1, Fields) of
        true -> ["http://", Host];
        false -> []
    end,
    iolist_to_binary([Method, $\s, Origin, Path, case Query of <<>> -> []; _ -> [$? | Query] end, $\s, atom_to_binary(Version), "\r\n",
                      [[Name, ": ", Value, "\r\n"] || {Name, Value} <- Fields], "\r\n"]).

%%% Bodies

%% Each prefix, not only all of it: a wrong octet is refused with itself.
prop_body_any_split() ->
    numtests(2000, ?FORALL({Bytes, Cuts, Before}, {body_bytes(), cuts(), oneof([unknown, unknown, 0, 1, 5, 100])},
        begin
            Whole = body([Bytes], Before),
            ?WHENFAIL(io:format("~p ~p: ~p, ~p~n", [Bytes, Before, Whole, body(split(Bytes, Cuts), Before)]),
                      body(split(Bytes, Cuts), Before) =:= Whole andalso body(singles(Bytes), Before) =:= Whole)
        end)).

prop_body_serialises() ->
    numtests(1000, ?FORALL({Chunks, Rest, Cuts}, {list(chunk()), binary(), cuts()},
        begin
            Bytes = iolist_to_binary([chunked(Chunks), Rest]),
            {done, iolist_to_binary([Data || {Data, _, _} <- Chunks]), Rest} =:= body(split(Bytes, Cuts), unknown)
        end)).

%% When all pieces have been given: {Outcome, Data, Rest}.
body(Pieces, Length) ->
    body_of(Pieces, hornbeam_http1_body:new(Length), []).

body_of([Piece | Rest], Body, Data) ->
    case hornbeam_http1_body:feed(Piece, Body) of
        {more, More, Next} -> body_of(Rest, Next, [Data | More]);
        {done, More, Left} -> {done, iolist_to_binary([Data | More]), iolist_to_binary([Left | Rest])};
        {refuse, Reason} -> {refuse, Reason}
    end;
body_of([], _Body, Data) ->
    {more, iolist_to_binary(Data)}.

%%% Heads and bodies as they follow each other on a connection

%% What a connection reads: requests, one after the other, until one is refused or the bytes are over.
prop_connection_any_split() ->
    numtests(1000, ?FORALL({Requests, Cuts, Change}, {list(request()), cuts(), change()},
        begin
            Bytes = <<(changed(iolist_to_binary(Requests), Change))/binary, "\n">>,
            Whole = requests([Bytes], []),
            requests(split(Bytes, Cuts), []) =:= Whole andalso requests(singles(Bytes), []) =:= Whole
        end)).

requests(Pieces, Seen) ->
    case head(wide(), Pieces) of
        {ok, #head{length = Length} = Head, Rest} when Length =/= 0 ->
            case body([Rest], Length) of
                {done, Data, After} -> requests([After], [{Head, Data} | Seen]);
                Other -> [Other, Head | Seen]
            end;
        {ok, Head, Rest} -> requests([Rest], [Head | Seen]);
        Other -> [Other | Seen]
    end.

%%% Generators

wide() ->
    #{max_request_line => 8192, max_headers => 100, max_header_size => 16384, max_head_size => 65536, strict_target => false}.

%% Small ones are met often.
limits() ->
    frequency([{1, wide()},
               {3, ?LET({Line, Fields, Value, Size, Strict}, {integer(5, 60), integer(1, 6), integer(1, 40), integer(20, 200), boolean()},
                        #{max_request_line => Line, max_headers => Fields, max_header_size => Value, max_head_size => Size, strict_target => Strict})}]).

cuts() -> list(integer(1, 120)).

split(Bytes, [Size | Cuts]) when Size < byte_size(Bytes) ->
    <<Piece:Size/binary, Rest/binary>> = Bytes,
    [Piece | split(Rest, Cuts)];
split(Bytes, _) ->
    [Bytes].

singles(Bytes) -> [<<C>> || <<C>> <= Bytes].

head_bytes() ->
    ?LET({Head, Change, Again}, {oneof([good_head(), odd_head(), resize(60, binary())]), change(), oneof([<<>>, good_head()])},
         <<(changed(Head, Change))/binary, Again/binary>>).

good_head() ->
    ?LET({Method, Target, Fields, Host}, {method(), target(), list(field()), oneof([<<"a">>, <<"a.example:80">>, <<"[::1]">>])},
         iolist_to_binary([Method, $\s, Target, <<" HTTP/1.1\r\nHost: ">>, Host, <<"\r\n">>, [[N, $:, V, <<"\r\n">>] || {N, V} <- Fields], <<"\r\n">>])).

odd_head() ->
    ?LET({Empty, Method, Space, Target, Version, Fields},
         {oneof([<<>>, <<>>, <<"\r\n">>, <<"\r\n\r\n">>, <<"\n">>]), oneof([method(), <<"connect">>, <<"CONNECT">>, <<"TRACE">>, <<>>, <<"A B">>]),
          oneof([<<" ">>, <<" ">>, <<"\t">>, <<"  ">>]), oneof([target(), <<"*">>, <<"http://a/b?c">>, <<"http://a">>, <<"http://b:80?x">>, <<"https://u@a/">>, <<"a:80">>, <<>>]),
          oneof([<<"HTTP/1.1">>, <<"HTTP/1.1">>, <<"HTTP/1.0">>, <<"HTTP/1.2">>, <<"HTTP/2.0">>, <<"http/1.1">>, <<"HTTP/1.10">>, <<"X">>]),
          list(oneof([field(), special()]))},
         iolist_to_binary([Empty, Method, Space, Target, $\s, Version, <<"\r\n">>, [[N, $:, V, <<"\r\n">>] || {N, V} <- Fields], <<"\r\n">>])).

%% Fields and the end of the head.
fields() ->
    ?LET(Fields, list(oneof([field(), special()])), iolist_to_binary([<<"Host: a\r\n">>, [[N, $:, V, <<"\r\n">>] || {N, V} <- Fields], <<"\r\n">>])).

request_line() ->
    ?LET({Empty, Method, Target, Version}, {oneof([<<>>, <<>>, <<"\r\n">>]), method(), oneof([target(), target(), <<"http://a/b">>, <<"http://b">>]),
                                            oneof([<<"1.1">>, <<"1.1">>, <<"1.0">>])},
         iolist_to_binary([Empty, Method, $\s, Target, <<" HTTP/">>, Version, <<"\r\n">>])).

method() -> oneof([<<"GET">>, <<"GET">>, <<"POST">>, <<"PUT">>, <<"HEAD">>, <<"OPTIONS">>, <<"DELETE">>, <<"PATCH">>, <<"PROPFIND">>, <<"get">>, <<"G!">>]).

target() ->
    ?LET({Path, Query}, {list(octet()), oneof([none, list(octet())])},
         iolist_to_binary([$/, [C || C <- Path, C =/= $?], case Query of none -> []; _ -> [$? | Query] end])).

%% What may stand in a target.
octet() -> oneof([integer($a, $z), oneof("/?%&=|{}\"^`\\<>[];:@"), integer(128, 255)]).

field() ->
    {oneof([<<"X-A">>, <<"x-b">>, <<"Cookie">>, <<"ACCEPT">>, <<"User-Agent">>, <<"x!#$%&'*+.^_`|~9">>, <<"Upgrade">>, <<"TE">>]),
     ?LET({Before, Value, After}, {oneof([<<>>, <<" ">>, <<" \t ">>]), text(), oneof([<<>>, <<>>, <<" ">>, <<"\t \t">>])},
          <<Before/binary, Value/binary, After/binary>>)}.

text() -> ?LET(Octets, list(oneof([integer(33, 126), integer(33, 126), $\s, $\t, integer(128, 255)])), list_to_binary(Octets)).

special() ->
    oneof([{<<"Host">>, oneof([<<" a">>, <<" A">>, <<" b:80">>, <<" a b">>, <<>>])},
           {<<"Content-Length">>, oneof([<<" 5">>, <<" 0">>, <<"+5">>, <<" 5, 5">>, <<>>])},
           {<<"Transfer-Encoding">>, oneof([<<" chunked">>, <<" Chunked ">>, <<" gzip, chunked">>, <<" gzip">>, <<" chunked, chunked">>])},
           {<<"Connection">>, oneof([<<" close">>, <<" keep-alive">>, <<" TE, x">>, <<" ,">>, <<" @">>])},
           {<<"Expect">>, oneof([<<" 100-continue">>, <<" x">>])},
           {<<"X ">>, <<"a">>}, {<<>>, <<"a">>}, {<<"x(">>, <<"a">>}, {<<" folded">>, <<"a">>}, {<<"x">>, <<"a\rb">>}, {<<"x">>, <<"a\nb">>}, {<<"x">>, <<0>>}]).

%% A change at random: where, how many octets go, what comes instead.
change() ->
    oneof([none, none, {change, non_neg_integer(), integer(0, 3), oneof([<<>>, <<"\r">>, <<"\n">>, <<"\r\n">>, <<" ">>, <<":">>, <<0>>, <<"a">>, binary(1), binary(3)])}]).

changed(Bytes, none) -> Bytes;
changed(Bytes, {change, Where, Size, New}) ->
    At = Where rem (byte_size(Bytes) + 1),
    Gone = min(Size, byte_size(Bytes) - At),
    <<Before:At/binary, _:Gone/binary, After/binary>> = Bytes,
    <<Before/binary, New/binary, After/binary>>.

body_bytes() ->
    ?LET({Chunks, Trailers, Rest, Change}, {list(chunk()), oneof([[], list(field())]), oneof([<<>>, good_head()]), change()},
         changed(iolist_to_binary([chunked(Chunks, Trailers), Rest]), Change)).

%% {Data, how its size is written, extension}
chunk() ->
    {?SUCHTHAT(Data, binary(), Data =/= <<>>), oneof([upper, lower, zeros]),
     oneof([<<>>, <<>>, <<";a">>, <<";a=b">>, <<" ; a=\"b;c\"">>, <<"\t;a">>, <<";">>])}.

chunked(Chunks) -> chunked(Chunks, []).

chunked(Chunks, Trailers) ->
    [[[size(Data, How), Extension, <<"\r\n">>, Data, <<"\r\n">>] || {Data, How, Extension} <- Chunks],
     <<"0\r\n">>, [[N, $:, V, <<"\r\n">>] || {N, V} <- Trailers], <<"\r\n">>].

size(Data, upper) -> integer_to_binary(byte_size(Data), 16);
size(Data, lower) -> hornbeam_headers:lower(integer_to_binary(byte_size(Data), 16));
size(Data, zeros) -> <<"000", (integer_to_binary(byte_size(Data), 16))/binary>>.

request() ->
    oneof([good_head(),
           ?LET({Body, More}, {binary(), binary()},
                iolist_to_binary([<<"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ">>, integer_to_binary(byte_size(Body)), <<"\r\n\r\n">>, Body,
                                  case More of <<>> -> <<"\r\n">>; _ -> [] end])),
           ?LET(Chunks, list(chunk()),
                iolist_to_binary([<<"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n">>, chunked(Chunks)]))]).
