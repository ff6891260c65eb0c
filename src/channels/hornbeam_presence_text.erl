%%% What clients are told of who is present, as JSON text: metas are texts that are put together and never decoded again. Pure.
%%%
%%% Called by: hornbeam_presence. Calls: hornbeam_json.
%%%
%%%     presence_state   {Key: {"metas": [{"phx_ref": Ref, ...}]}}
%%%     presence_diff    {"joins": as the state, "leaves": as the state}
-module(hornbeam_presence_text).

-export([inside/1, updated/2, object/1, metas/1, diff/2]).
-export_type([inside/0]).

%% A meta without its braces, so that something can be put before it.
-type inside() :: binary().
-type ref() :: binary().

%% What the server says itself; clients tell metas apart by it, so that no application may.
-define(OWN, [<<"phx_ref">>, <<"phx_ref_prev">>]).

%% @doc The inside of a meta: of the text of a JSON object.
-spec inside(binary()) -> {ok, inside()} | error.
inside(Meta) ->
    case hornbeam_json:decode(Meta) of
        {ok, Map} when is_map(Map) ->
            case maps:without(?OWN, Map) of
                Without when map_size(Without) =:= 0 -> {ok, <<>>};
                Map -> {ok, without_braces(Meta)};
                Without -> {ok, without_braces(iolist_to_binary(hornbeam_json:encode(Without)))}
            end;
        _ ->
            error
    end.

without_braces(Text) ->
    [{Start, 1} | _] = Braces = binary:matches(Text, [<<"{">>, <<"}">>]),
    {End, 1} = lists:last(Braces),
    binary:copy(binary:part(Text, Start + 1, End - Start - 1)).

%% @doc A meta in place of another: clients that follow one find the one before by its ref.
-spec updated(Before :: ref(), inside()) -> inside().
updated(Before, <<>>) -> <<"\"phx_ref_prev\":\"", Before/binary, "\"">>;
updated(Before, Inside) -> <<"\"phx_ref_prev\":\"", Before/binary, "\",", Inside/binary>>.

%% @doc Metas by their keys.
-spec object([{Key :: binary(), ref(), inside()}]) -> iodata().
object(Rows) ->
    ByKey = maps:groups_from_list(fun({Key, _, _}) -> Key end, fun({_, Ref, Inside}) -> {Ref, Inside} end, Rows),
    [${, lists:join($,, [[hornbeam_json:encode(Key), $:, metas(Metas)] || {Key, Metas} <- maps:to_list(ByKey)]), $}].

%% @doc The metas of one key.
-spec metas([{ref(), inside()}]) -> iodata().
metas(Metas) -> [<<"{\"metas\":[">>, lists:join($,, [meta(Ref, Inside) || {Ref, Inside} <- Metas]), <<"]}">>].

meta(Ref, <<>>) -> [<<"{\"phx_ref\":\"">>, Ref, <<"\"}">>];
meta(Ref, Inside) -> [<<"{\"phx_ref\":\"">>, Ref, <<"\",">>, Inside, $}].

%% @doc Who has come and who has gone.
-spec diff(Joins :: [{binary(), ref(), inside()}], Leaves :: [{binary(), ref(), inside()}]) -> binary().
diff(Joins, Leaves) -> iolist_to_binary([<<"{\"joins\":">>, object(Joins), <<",\"leaves\":">>, object(Leaves), $}]).
